// container destroy: removes stopped containers; one that cannot be removed does not keep the others from going.
import { command, type ExitStatus } from '../command.ts';
import { errorObject, printFailure } from '../failure.ts';

export default command({
  configure(command) {
    command.argument('<ids...>', 'stopped containers').usage('[options] ID…');
  },

  async run({ global, signal, output, session }, ids) {
    const { client } = await session();
    const results: object[] = [];
    let status: ExitStatus = 0;
    for (const id of ids) {
      try {
        const { destroyed } = await client.request('container/destroy', { id }, { signal });
        results.push({ id: destroyed });
        if (!global.json) output.write(`${destroyed}\n`);
      } catch (error) {
        if (signal.aborted) throw error;
        status = 1;
        printFailure(error, global.json);
        results.push({ id, error: errorObject(error) });
      }
    }
    if (global.json) output.json({ destroyed: results });
    return status;
  },
});
