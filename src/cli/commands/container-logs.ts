// container logs: what a container's main process, or another of its processes, wrote last.
import { command } from '../command.ts';

export default command({
  configure(command) {
    command.argument('<id>', 'a container, or a process of one');
  },

  async run({ global, signal, output, say, session }, [id = '']) {
    const { client } = await session();
    const result = await client.request('container/logs', { id }, { signal });
    if (global.json) {
      output.json(result);
      return 0;
    }
    if (result.droppedBytes > 0) say(`${result.droppedBytes} bytes that it wrote before that were not kept.`);
    for (const { stream, text } of result.chunks) {
      if (stream === 'stdout') output.write(text);
      else process.stderr.write(text);
    }
    return 0;
  },
});
