// image inspect: everything known of one image.
import { command } from '../command.ts';
import { formatBytes } from '../quantities.ts';
import { definitions, table } from '../layout.ts';
import { onOneLine } from '../text.ts';

export default command({
  configure(command) {
    command.argument('<name>', 'a name, a digest, or the start of a digest');
  },

  async run({ global, signal, output, session }, [name = '']) {
    const { client } = await session();
    const image = await client.request('image/inspect', { name }, { signal });
    if (global.json) {
      output.json(image);
      return 0;
    }
    const list = (values: readonly string[]): string => values.map((value) => JSON.stringify(value)).join(' ') || '-';
    const pairs = (values: Readonly<Record<string, string>>): string =>
      Object.entries(values)
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
        .join(' ') || '-';
    output.write(
      definitions(
        [
          ['names', image.names.join(', ') || '-'],
          ['digest', image.digest],
          ['size', formatBytes(image.sizeBytes)],
          ['platform', image.platform],
          ['created', image.created ?? '-'],
          ['user', image.user || '-'],
          ['working directory', image.workingDirectory || '-'],
          ['entry point', list(image.entrypoint)],
          ['command', list(image.command)],
          ['environment', list(image.environment)],
          ['labels', pairs(image.labels)],
          ['annotations', pairs(image.annotations)],
        ],
        output.style,
      ),
      `\n${table(
        image.layers,
        [
          { title: 'LAYER', value: ({ digest }) => digest },
          { title: 'SIZE', value: ({ sizeBytes }) => formatBytes(sizeBytes), align: 'right' },
          { title: 'TYPE', value: ({ mediaType }) => onOneLine(mediaType) },
        ],
        output.style,
      )}`,
    );
    return 0;
  },
});
