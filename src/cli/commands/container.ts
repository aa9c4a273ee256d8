// The commands about containers: list, inspect, exec, logs, kill, destroy.
import { Option } from 'commander';
import type { Result } from '../../protocol/methods.ts';
import type { CommandModule } from '../command.ts';
import { UsageError } from '../failure.ts';
import { collect } from '../quantities.ts';
import { forEachName } from '../for-each.ts';
import { definitions, table, type Column } from '../layout.ts';
import { onOneLine, quotedList } from '../text.ts';

type Summary = Result<'container/list'>['containers'][number];

interface ListOptions {
  readonly status?: Summary['status'];
}

const listColumns: readonly Column<Summary>[] = [
  { title: 'ID', value: ({ id }) => id, format: () => 'cyan' },
  { title: 'STATUS', value: ({ status }) => status },
  { title: 'CREATED', value: ({ createdAt }) => createdAt },
  { title: 'IMAGE', value: ({ image }) => image.slice(0, 'sha256:'.length + 12) },
  { title: 'COMMAND', value: ({ args }) => args.join(' ') },
];

export const list: CommandModule<ListOptions> = {
  configure(command) {
    command.addOption(new Option('--status <status>', 'only those').choices(['created', 'running', 'stopped']));
  },

  async run({ global, signal, output, print, say, session }, _args, { status }) {
    const { client } = await session();
    const result = await client.request('container/list', { status }, { signal });
    if (result.containers.length === 0 && !global.json) say('There are no containers.');
    else print(result, () => table(result.containers, listColumns, output.style));
  },
};

const inspectColumns: readonly Column<Result<'container/state'>['processes'][number]>[] = [
  { title: 'PROCESS', value: ({ id }) => id },
  { title: 'STATUS', value: ({ status }) => status },
  { title: 'PID', value: ({ pid, status }) => (status === 'running' ? String(pid) : '-'), align: 'right' },
  { title: 'STARTED', value: ({ startedAt }) => startedAt },
  { title: 'FINISHED', value: ({ finishedAt }) => finishedAt ?? '-' },
  { title: 'COMMAND', value: ({ args }) => args.join(' ') },
  { title: 'MESSAGE', value: ({ message }) => message ?? '-' },
];

export const inspect: CommandModule = {
  configure(command) {
    command.argument('<id>', 'a container');
  },

  async run({ signal, output, print, session }, [id = '']) {
    const { client } = await session();
    const [config, state] = await Promise.all([
      client.request('container/config', { id }, { signal }),
      client.request('container/state', { id }, { signal }),
    ]);
    const { entryPoint } = config;
    const { style } = output;
    const processes = state.processes.length === 0 ? '' : `\n${table(state.processes, inspectColumns, style)}`;
    print(
      { config, state },
      () =>
        definitions(
          [
            ['id', config.id],
            ['status', state.status],
            ['image', config.image],
            ['created', config.createdAt],
            ['commits', String(config.generation)],
            ['host name', config.hostname],
            ['writable layer', config.writable ? 'yes' : 'no'],
            ['command', quotedList(entryPoint.args)],
            ['environment', quotedList(assignments(entryPoint.env))],
            ['working directory', entryPoint.cwd],
            ['user', entryPoint.user || '-'],
            ['limits', assignments(config.limits).join(' ')],
            ['files to copy', quotedList(config.pending.map(({ path }) => path))],
          ],
          style,
        ) + processes,
    );
  },
};

function assignments(values: Readonly<Record<string, string | number>>): string[] {
  return Object.entries(values).map(([name, value]) => `${name}=${value}`);
}

interface ExecOptions {
  readonly env?: readonly string[];
  readonly cwd?: string;
  readonly user?: string;
  readonly detach?: true;
}

/** Waits for the command's end and prints what it wrote. */
export const exec: CommandModule<ExecOptions> = {
  configure(command) {
    command
      .argument('<id>', 'a running container')
      .argument('<command...>', 'a command and its arguments, after --')
      .usage('[options] ID -- COMMAND…')
      .option('--env <NAME=value>', 'a variable more; may be given several times', collect)
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
    const given = variables.length > 0 ? (Object.fromEntries(variables) as Record<string, string>) : undefined;
    const params = { id, args, wait: detach === undefined, env: given, cwd, user };
    const result = await client.request('container/exec', params, { signal });
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
};

export const logs: CommandModule = {
  configure(command) {
    command.argument('<id>', 'a container, or a process of one');
  },

  async run({ global, signal, output, say, session }, [id = '']) {
    const { client } = await session();
    const result = await client.request('container/logs', { id }, { signal });
    if (global.json) {
      output.json(result);
      return;
    }
    if (result.droppedBytes > 0) say(`${result.droppedBytes} bytes that it wrote before that were not kept.`);
    for (const { stream, text } of result.chunks) {
      if (stream === 'stdout') output.write(text);
      else process.stderr.write(text);
    }
  },
};

interface KillOptions {
  readonly signal: string;
}

export const kill: CommandModule<KillOptions> = {
  configure(command) {
    command
      .argument('<id>', 'a container, or a process of one')
      .option('--signal <signal>', 'a number, or a name', 'SIGKILL');
  },

  async run({ signal, print, session }, [id = ''], { signal: sent }) {
    const { client } = await session();
    const number = /^\d+$/.test(sent) ? Number(sent) : sent;
    const result = await client.request('container/signal', { id, signal: number }, { signal });
    print({ id, ...result }, () => `${id}\n`);
  },
};

export const destroy: CommandModule = {
  configure(command) {
    command.argument('<ids...>', 'stopped containers').usage('[options] ID…');
  },

  async run(context, ids) {
    const { global, signal, output, session } = context;
    const { client } = await session();
    return await forEachName(context, { list: 'destroyed', key: 'id' }, ids, async (id) => {
      const { destroyed } = await client.request('container/destroy', { id }, { signal });
      if (!global.json) output.write(`${destroyed}\n`);
      return { id: destroyed };
    });
  },
};
