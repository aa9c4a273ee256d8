// image remove: images out of the store; one that is not there does not keep the others from going.
import { command } from '../command.ts';
import { forEachName } from '../for-each.ts';
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

  async run(context, names, { force }) {
    const { global, signal, output, session } = context;
    const { client } = await session();
    return await forEachName(
      context,
      'removed',
      names,
      (name) => ({ name }),
      async (name) => {
        const params = { name, ...(force !== undefined && { force }) };
        const { removed, names: also } = await client.request('image/remove', params, { signal });
        if (!global.json) output.write(`Removed ${onOneLine(name)} ${output.style('dim', removed)}\n`);
        return { removed, names: also };
      },
    );
  },
});
