// container destroy: removes stopped containers; one that cannot be removed does not keep the others from going.
import { command } from '../command.ts';
import { forEachName } from '../for-each.ts';

export default command({
  configure(command) {
    command.argument('<ids...>', 'stopped containers').usage('[options] ID…');
  },

  async run(context, ids) {
    const { global, signal, output, session } = context;
    const { client } = await session();
    return await forEachName(
      context,
      'destroyed',
      ids,
      (id) => ({ id }),
      async (id) => {
        const { destroyed } = await client.request('container/destroy', { id }, { signal });
        if (!global.json) output.write(`${destroyed}\n`);
        return { id: destroyed };
      },
    );
  },
});
