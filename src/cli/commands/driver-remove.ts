// driver remove: the drivers of the languages named; one that is not there does not keep the others from going.
import { command, type ExitStatus } from '../command.ts';
import { errorObject, printFailure } from '../failure.ts';
import { onOneLine } from '../text.ts';

export default command({
  configure(command) {
    command.argument('<languages...>', 'languages or aliases').usage('[options] LANGUAGE…');
  },

  async run({ global, signal, output, session }, languages) {
    const { client } = await session();
    const results: object[] = [];
    let status: ExitStatus = 0;
    for (const language of languages) {
      try {
        const { removed } = await client.request('driver/remove', { language }, { signal });
        results.push({ language, removed });
        if (!global.json) {
          for (const digest of removed) output.write(`Removed ${onOneLine(language)} ${output.style('dim', digest)}\n`);
        }
      } catch (error) {
        if (signal.aborted) throw error;
        status = 1;
        printFailure(error, global.json);
        results.push({ language, error: errorObject(error) });
      }
    }
    if (global.json) output.json({ removed: results });
    return status;
  },
});
