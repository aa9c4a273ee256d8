// image list: the images in the store, a line each.
import type { Image } from '../../protocol/methods.ts';
import { command } from '../command.ts';
import { formatBytes } from '../quantities.ts';
import { table, type Column } from '../layout.ts';

const columns: readonly Column<Image>[] = [
  { title: 'NAME', value: ({ names }) => names.join(',') || '-', format: () => 'cyan' },
  { title: 'DIGEST', value: ({ digest }) => digest.slice(0, 'sha256:'.length + 12) },
  { title: 'PLATFORM', value: ({ platform }) => platform },
  { title: 'LAYERS', value: ({ layers }) => String(layers.length), align: 'right' },
  { title: 'SIZE', value: ({ sizeBytes }) => formatBytes(sizeBytes), align: 'right' },
  { title: 'CREATED', value: ({ created }) => created ?? '-' },
];

export default command({
  configure: () => undefined,

  async run({ global, signal, output, say, session }) {
    const { client } = await session();
    const result = await client.request('image/list', {}, { signal });
    if (global.json) output.json(result);
    else if (result.images.length === 0) say('There are no images in the store.');
    else output.write(table(result.images, columns, output.style));
    return 0;
  },
});
