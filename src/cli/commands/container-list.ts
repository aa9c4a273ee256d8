// container list: the containers of the store, a line each.
import { Option } from 'commander';
import type { Result } from '../../protocol/methods.ts';
import { command } from '../command.ts';
import { table, type Column } from '../layout.ts';

type Summary = Result<'container/list'>['containers'][number];

interface Options {
  readonly status?: Summary['status'];
}

const columns: readonly Column<Summary>[] = [
  { title: 'ID', value: ({ id }) => id, format: () => 'cyan' },
  { title: 'STATUS', value: ({ status }) => status },
  { title: 'CREATED', value: ({ createdAt }) => createdAt },
  { title: 'IMAGE', value: ({ image }) => image.slice(0, 'sha256:'.length + 12) },
  { title: 'COMMAND', value: ({ args }) => args.join(' ') },
];

export default command<Options>({
  configure(command) {
    command.addOption(new Option('--status <status>', 'only those').choices(['created', 'running', 'stopped']));
  },

  async run({ global, signal, output, say, session }, _args, { status }) {
    const { client } = await session();
    const result = await client.request('container/list', status === undefined ? {} : { status }, { signal });
    if (global.json) output.json(result);
    else if (result.containers.length === 0) say('There are no containers.');
    else output.write(table(result.containers, columns, output.style));
    return 0;
  },
});
