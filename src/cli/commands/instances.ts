// instances: the drivers that run, or the end of one or all of them.
import type { InstanceStatus } from '../../protocol/methods.ts';
import type { CommandModule } from '../command.ts';
import { UsageError } from '../failure.ts';
import { formatBytes, formatCount, formatDuration } from '../quantities.ts';
import { table, type Column } from '../layout.ts';

interface Options {
  readonly kill?: string;
  readonly killAll?: true;
  readonly language?: string;
}

const columns: readonly Column<InstanceStatus>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'LANGUAGE', value: ({ language }) => language, format: () => 'cyan' },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'PIDS', value: ({ pids }) => pids.join(',') || '-' },
  {
    title: 'MEMORY',
    value: ({ memoryBytes }) => (memoryBytes === undefined ? '-' : formatBytes(memoryBytes)),
    align: 'right',
  },
  { title: 'CPU', value: ({ cpuMs }) => (cpuMs === undefined ? '-' : formatDuration(cpuMs)), align: 'right' },
  { title: 'REQUESTS', value: ({ requests }) => String(requests), align: 'right' },
  { title: 'AGE', value: ({ ageMs }) => formatDuration(ageMs), align: 'right' },
  { title: 'IMAGE', value: ({ image }) => image.slice(0, 'sha256:'.length + 12) },
];

const command: CommandModule<Options> = {
  configure(command) {
    command
      .option('--language <language>', 'only those of this language')
      .option('--kill <id>', 'end this one')
      .option('--kill-all', 'end all');
  },

  async run({ global, signal, output, print, say, session }, _args, { kill, killAll, language }) {
    if (kill !== undefined && killAll !== undefined) throw new UsageError('Give either --kill or --kill-all.');
    const { client } = await session();
    if (kill !== undefined || killAll !== undefined) {
      const result = await client.request('host/kill', { id: kill, all: killAll }, { signal });
      print(result, () => result.killed.map((id) => `${id}\n`).join(''));
      say(`${formatCount(result.killed.length, 'instance')} ended.`);
      return;
    }
    const result = await client.request('host/instances', { language }, { signal });
    if (global.json || result.instances.length > 0) print(result, () => table(result.instances, columns, output.style));
    else if (global.connect === undefined)
      say('No instance runs: without --connect, this command asks a host of its own.');
    else say('No instance runs.');
  },
};

export default command;
