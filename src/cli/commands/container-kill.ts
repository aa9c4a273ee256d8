// container kill: sends a signal to a container's main process, or to another of its processes.
import { command } from '../command.ts';

interface Options {
  readonly signal: string;
}

export default command<Options>({
  configure(command) {
    command
      .argument('<id>', 'a container, or a process of one')
      .option('--signal <signal>', 'a number, or a name', 'SIGKILL');
  },

  async run({ global, signal, output, session }, [id = ''], { signal: sent }) {
    const { client } = await session();
    const number = /^\d+$/.test(sent) ? Number(sent) : sent;
    const result = await client.request('container/signal', { id, signal: number }, { signal });
    if (global.json) output.json({ id, ...result });
    else output.write(`${id}\n`);
    return 0;
  },
});
