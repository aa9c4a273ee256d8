// The commands about drivers: list, inspect, remove; and install, from a file of its own.
import type { Driver } from '../../protocol/methods.ts';
import type { CommandModule } from '../command.ts';
import { forEachName } from '../for-each.ts';
import { definitions, table, type Column } from '../layout.ts';
import { formatBytes } from '../quantities.ts';
import { onOneLine } from '../text.ts';

export { install } from './driver-install.ts';

const listColumns: readonly Column<Driver>[] = [
  { title: 'LANGUAGE', value: ({ language }) => language, format: () => 'cyan' },
  { title: 'ALIASES', value: ({ manifest }) => manifest.aliases.join(',') || '-' },
  { title: 'VERSION', value: ({ manifest }) => manifest.version ?? '-' },
  { title: 'STATUS', value: ({ manifest }) => manifest.status ?? '-' },
  { title: 'SIZE', value: ({ sizeBytes }) => formatBytes(sizeBytes), align: 'right' },
  { title: 'DIGEST', value: ({ digest }) => digest.slice(0, 'sha256:'.length + 12) },
  { title: 'REFERENCE', value: ({ reference }) => reference },
];

/** The installed drivers, a line each. */
export const list: CommandModule = {
  async run({ global, signal, output, print, say, session }) {
    const { client } = await session();
    const result = await client.request('driver/list', {}, { signal });
    if (result.drivers.length === 0 && !global.json) {
      say("No driver is installed; 'babelhost driver install REFERENCE' installs one.");
    } else print(result, () => table(result.drivers, listColumns, output.style));
  },
};

/** Everything known of one installed driver. */
export const inspect: CommandModule = {
  configure(command) {
    command.argument('<language>', 'a language or an alias of one');
  },

  async run({ signal, output, print, session }, [language = '']) {
    const { client } = await session();
    const driver = await client.request('driver/inspect', { language }, { signal });
    const { manifest } = driver;
    print(driver, () =>
      definitions(
        [
          ['language', driver.language],
          ['aliases', manifest.aliases.join(', ') || '-'],
          ['name', manifest.name],
          ['version', manifest.version ?? '-'],
          ['status', manifest.status ?? '-'],
          ['features', manifest.features.join(', ') || '-'],
          ['documentation', manifest.documentation ?? '-'],
          ['reference', driver.reference],
          ['digest', driver.digest],
          ['size', formatBytes(driver.sizeBytes)],
          ['installed', driver.installedAt ?? '-'],
        ],
        output.style,
      ),
    );
  },
};

/** The drivers of the languages named; one that is not there does not keep the others from going. */
export const remove: CommandModule = {
  configure(command) {
    command.argument('<languages...>', 'languages or aliases').usage('[options] LANGUAGE…');
  },

  async run(context, languages) {
    const { global, signal, output, session } = context;
    const { client } = await session();
    return await forEachName(context, { list: 'removed', key: 'language' }, languages, async (language) => {
      const { removed } = await client.request('driver/remove', { language }, { signal });
      if (!global.json) {
        for (const digest of removed) output.write(`Removed ${onOneLine(language)} ${output.style('dim', digest)}\n`);
      }
      return { removed };
    });
  },
};
