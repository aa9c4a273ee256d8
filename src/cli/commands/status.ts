// status: the host, the protections in force, and its pools.
import type { PoolStatus } from '../../protocol/methods.ts';
import type { CommandModule } from '../command.ts';
import { formatBytes, formatDuration } from '../quantities.ts';
import { definitions, table, type Column } from '../layout.ts';

const number = (title: string, value: (pool: PoolStatus) => number): Column<PoolStatus> => ({
  title,
  value: (pool) => String(value(pool)),
  align: 'right',
});

const time = (title: string, value: (pool: PoolStatus) => number | undefined): Column<PoolStatus> => ({
  title,
  value: (pool) => {
    const milliseconds = value(pool);
    return milliseconds === undefined ? '-' : formatDuration(milliseconds);
  },
  align: 'right',
});

const columns: readonly Column<PoolStatus>[] = [
  { title: 'LANGUAGE', value: ({ language }) => language, format: () => 'cyan' },
  { title: 'STATE', value: ({ state }) => state, format: ({ state }) => (state === 'failing' ? 'red' : 'reset') },
  number('INSTANCES', ({ instances }) => instances),
  number('BUSY', ({ busy }) => busy),
  number('STARTING', ({ starting }) => starting),
  number('WANTED', ({ wanted }) => wanted),
  number('WAITING', ({ waiting }) => waiting),
  number('SUCCESS', ({ success }) => success),
  number('FAILED', ({ failed }) => failed),
  number('EXITED', ({ exited }) => exited),
  time('P50', ({ p50Ms }) => p50Ms),
  time('P99', ({ p99Ms }) => p99Ms),
];

const command: CommandModule = {
  async run({ signal, output, print, session }) {
    const { client } = await session();
    const [info, status, { languages }] = await Promise.all([
      client.request('host/info', {}, { signal }),
      client.request('host/status', {}, { signal }),
      client.request('host/languages', {}, { signal }),
    ]);
    const weaker = info.isolation.filter(({ enforced }) => enforced !== 'yes').map(({ name }) => name);
    const pools = status.pools.length === 0 ? '' : `\n${table(status.pools, columns, output.style)}`;
    print(
      { ...info, ...status, languages },
      () =>
        definitions(
          [
            ['babelhost', `${info.version}, process ${info.pid}, node ${info.node}`],
            ['root', info.root],
            ['runtime', `${info.runtime.name} (${info.runtime.path})`],
            [
              'isolation',
              weaker.length === 0 ? 'full' : `weaker or missing: ${weaker.join(', ')} ('babelhost doctor' tells more)`,
            ],
            ['languages', languages.map(({ language }) => language).join(', ') || '-'],
            ['up', formatDuration(status.uptimeMs)],
            ['memory', formatBytes(status.memoryBytes)],
          ],
          output.style,
        ) + pools,
    );
  },
};

export default command;
