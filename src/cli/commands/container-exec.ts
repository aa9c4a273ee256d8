// container exec: runs a command in a running container, waits for its end and prints what it wrote.
import { command } from '../command.ts';
import { UsageError } from '../failure.ts';
import { onOneLine } from '../text.ts';

interface Options {
  readonly env?: readonly string[];
  readonly cwd?: string;
  readonly user?: string;
  readonly detach?: true;
}

export default command<Options>({
  configure(command) {
    command
      .argument('<id>', 'a running container')
      .argument('<command...>', 'a command and its arguments, after --')
      .usage('[options] ID -- COMMAND…')
      .option('--env <NAME=value>', 'a variable more; may be given several times', (value, before?: string[]) => [
        ...(before ?? []),
        value,
      ])
      .option('--cwd <folder>', 'working directory in the container')
      .option('--user <user>', 'as the image knows it; as the container’s own else')
      .option('--detach', 'print its id and do not wait for its end');
  },

  async run({ global, signal, output, say, session }, [id = '', ...args], { env = [], cwd, user, detach }) {
    const variables = env.map((text) => {
      const equals = text.indexOf('=');
      if (equals < 1) throw new UsageError(`--env takes NAME=value, not '${text}'.`);
      return [text.slice(0, equals), text.slice(equals + 1)];
    });
    const { client } = await session();
    const result = await client.request(
      'container/exec',
      {
        id,
        args,
        wait: detach === undefined,
        ...(variables.length > 0 && { env: Object.fromEntries(variables) as Record<string, string> }),
        ...(cwd !== undefined && { cwd }),
        ...(user !== undefined && { user }),
      },
      { signal },
    );
    if (global.json) output.json(result);
    else if (detach !== undefined) output.write(`${result.process.id}\n`);
    else {
      output.write(result.stdout ?? '');
      process.stderr.write(result.stderr ?? '');
      if (result.droppedBytes !== undefined && result.droppedBytes > 0) {
        say(`${result.droppedBytes} bytes that it wrote before that were not kept.`);
      }
      if (result.process.exitCode !== 0) say(onOneLine(result.process.message ?? ''));
    }
    return detach !== undefined || result.process.exitCode === 0 ? 0 : 1;
  },
});
