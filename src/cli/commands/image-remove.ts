// image remove: images out of the store; one that is not there does not keep the others from going.
import { command, type ExitStatus } from '../command.ts';
import { errorObject, printFailure } from '../failure.ts';
import { onOneLine } from '../text.ts';

interface Options {
  readonly force?: true;
}

export default command<Options>({
  configure(command) {
    command
      .argument('<names...>', 'names, digests, or starts of digests')
      .usage('[options] NAME…')
      .option('--force', 'also where it is an installed driver: its language then has none');
  },

  async run({ global, signal, output, session }, names, { force }) {
    const { client } = await session();
    const results: object[] = [];
    let status: ExitStatus = 0;
    for (const name of names) {
      try {
        const params = { name, ...(force !== undefined && { force }) };
        const { removed, names: also } = await client.request('image/remove', params, { signal });
        results.push({ name, removed, names: also });
        if (!global.json) output.write(`Removed ${onOneLine(name)} ${output.style('dim', removed)}\n`);
      } catch (error) {
        if (signal.aborted) throw error;
        status = 1;
        printFailure(error, global.json);
        results.push({ name, error: errorObject(error) });
      }
    }
    if (global.json) output.json({ removed: results });
    return status;
  },
});
