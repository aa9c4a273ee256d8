// container inspect: what a container is defined by, and its processes.
import type { Result } from '../../protocol/methods.ts';
import { command } from '../command.ts';
import { definitions, table, type Column } from '../layout.ts';

const columns: readonly Column<Result<'container/state'>['processes'][number]>[] = [
  { title: 'PROCESS', value: ({ id }) => id },
  { title: 'STATUS', value: ({ status }) => status },
  { title: 'PID', value: ({ pid, status }) => (status === 'running' ? String(pid) : '-'), align: 'right' },
  { title: 'STARTED', value: ({ startedAt }) => startedAt },
  { title: 'FINISHED', value: ({ finishedAt }) => finishedAt ?? '-' },
  { title: 'COMMAND', value: ({ args }) => args.join(' ') },
  { title: 'MESSAGE', value: ({ message }) => message ?? '-' },
];

export default command({
  configure(command) {
    command.argument('<id>', 'a container');
  },

  async run({ global, signal, output, session }, [id = '']) {
    const { client } = await session();
    const [config, state] = await Promise.all([
      client.request('container/config', { id }, { signal }),
      client.request('container/state', { id }, { signal }),
    ]);
    if (global.json) {
      output.json({ config, state });
      return 0;
    }
    const { entryPoint } = config;
    const quoted = (values: readonly string[]): string => values.map((value) => JSON.stringify(value)).join(' ') || '-';
    output.write(
      definitions(
        [
          ['id', config.id],
          ['status', state.status],
          ['image', config.image],
          ['created', config.createdAt],
          ['commits', String(config.generation)],
          ['host name', config.hostname],
          ['writable layer', config.writable ? 'yes' : 'no'],
          ['command', quoted(entryPoint.args)],
          ['environment', quoted(Object.entries(entryPoint.env).map(([name, value]) => `${name}=${value}`))],
          ['working directory', entryPoint.cwd],
          ['user', entryPoint.user || '-'],
          [
            'limits',
            Object.entries(config.limits)
              .flatMap(([name, value]) => `${name}=${value}`)
              .join(' '),
          ],
          ['files to copy', quoted(config.pending.map(({ path }) => path))],
        ],
        output.style,
      ),
      state.processes.length === 0 ? '' : `\n${table(state.processes, columns, output.style)}`,
    );
    return 0;
  },
});
