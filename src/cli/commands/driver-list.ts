// driver list: the installed drivers, a line each.
import type { Driver } from '../../protocol/methods.ts';
import { command } from '../command.ts';
import { formatBytes } from '../quantities.ts';
import { table, type Column } from '../layout.ts';

const columns: readonly Column<Driver>[] = [
  { title: 'LANGUAGE', value: ({ language }) => language, format: () => 'cyan' },
  { title: 'ALIASES', value: ({ manifest }) => manifest.aliases.join(',') || '-' },
  { title: 'VERSION', value: ({ manifest }) => manifest.version ?? '-' },
  { title: 'STATUS', value: ({ manifest }) => manifest.status ?? '-' },
  { title: 'SIZE', value: ({ sizeBytes }) => formatBytes(sizeBytes), align: 'right' },
  { title: 'DIGEST', value: ({ digest }) => digest.slice(0, 'sha256:'.length + 12) },
  { title: 'REFERENCE', value: ({ reference }) => reference },
];

export default command({
  configure: () => undefined,

  async run({ global, signal, output, say, session }) {
    const { client } = await session();
    const result = await client.request('driver/list', {}, { signal });
    if (global.json) output.json(result);
    else if (result.drivers.length === 0)
      say("No driver is installed; 'babelhost driver install REFERENCE' installs one.");
    else output.write(table(result.drivers, columns, output.style));
    return 0;
  },
});
