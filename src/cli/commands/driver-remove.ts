// driver remove: the drivers of the languages named; one that is not there does not keep the others from going.
import { command } from '../command.ts';
import { forEachName } from '../for-each.ts';
import { onOneLine } from '../text.ts';

export default command({
  configure(command) {
    command.argument('<languages...>', 'languages or aliases').usage('[options] LANGUAGE…');
  },

  async run(context, languages) {
    const { global, signal, output, session } = context;
    const { client } = await session();
    return await forEachName(
      context,
      'removed',
      languages,
      (language) => ({ language }),
      async (language) => {
        const { removed } = await client.request('driver/remove', { language }, { signal });
        if (!global.json) {
          for (const digest of removed) output.write(`Removed ${onOneLine(language)} ${output.style('dim', digest)}\n`);
        }
        return { removed };
      },
    );
  },
});
