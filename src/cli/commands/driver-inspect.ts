// driver inspect: everything known of one installed driver.
import { command } from '../command.ts';
import { formatBytes } from '../quantities.ts';
import { definitions } from '../layout.ts';

export default command({
  configure(command) {
    command.argument('<language>', 'a language or an alias of one');
  },

  async run({ global, signal, output, session }, [language = '']) {
    const { client } = await session();
    const driver = await client.request('driver/inspect', { language }, { signal });
    if (global.json) {
      output.json(driver);
      return 0;
    }
    const { manifest } = driver;
    output.write(
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
    return 0;
  },
});
