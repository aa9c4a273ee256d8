// image prune: what nothing refers to, out of the store.
import { command } from '../command.ts';
import { formatBytes, formatCount } from '../quantities.ts';

export default command({
  configure: () => undefined,

  async run({ global, signal, output, session }) {
    const { client } = await session();
    const pruned = await client.request('image/prune', {}, { signal });
    if (global.json) output.json(pruned);
    else {
      for (const digest of pruned.removed) output.write(`Removed ${output.style('dim', digest)}\n`);
      output.write(`Freed ${formatBytes(pruned.freedBytes)} (${formatCount(pruned.removed.length, 'blob')})\n`);
    }
    return 0;
  },
});
