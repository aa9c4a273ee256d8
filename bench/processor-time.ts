// The processor time that the host takes, against that of the drivers, for the same thousand requests: what is left where
// nobody waits for a core. Both are what the kernel counted for the processes (proc(5), utime and stime), all threads.
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import type { Result } from '../src/protocol/methods.ts';
import { mixedFiles } from './corpus.ts';
import type { Figure } from './report.ts';
import { keptInstances, serveHost, type ServedHost } from './setting.ts';
import { summarise } from './statistics.ts';

const requests = 1000;
const largest = 200 * 1024;
const rounds = 5;
/** Of the times in /proc: USER_HZ, which is 100 on every architecture that Node has (times(2)). */
const ticksPerSecond = 100;

export async function measureProcessorTime(root: string): Promise<Figure[]> {
  const files = await mixedFiles(requests, largest);
  // An instance that is replaced, or goes where one has nothing to do, takes its count of time with it: none is, or does.
  await using host = serveHost(root, keptInstances);
  const parseAll = async (): Promise<void> => {
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let file = files[next]; file !== undefined; file = files[next]) {
        next += 1;
        await host.client.request('parse', { content: file.content, language: 'javascript', filename: file.file });
      }
    };
    await Promise.all(Array.from({ length: 2 * availableParallelism() }, lane));
  };
  await parseAll();
  const ofHost: number[] = [];
  const ofDrivers: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const pids = await driverProcesses(host);
    const before = await Promise.all([processorSeconds([host.pid]), processorSeconds(pids)]);
    await parseAll();
    const after = await Promise.all([processorSeconds([host.pid]), processorSeconds(pids)]);
    if (String(await driverProcesses(host)) !== String(pids)) throw new Error('a driver was started meanwhile');
    ofHost.push(after[0] - before[0]);
    ofDrivers.push(after[1] - before[1]);
  }
  return [
    {
      name: `processor time of the host for ${requests} requests of a mixed corpus`,
      unit: 's',
      value: summarise(ofHost),
      baseline: { name: 'processor time of the drivers', value: summarise(ofDrivers) },
    },
  ];
}

async function driverProcesses({ client }: ServedHost): Promise<number[]> {
  const { instances } = (await client.request('host/instances', {})) as Result<'host/instances'>;
  return instances.flatMap(({ pids }) => pids).sort((a, b) => a - b);
}

async function processorSeconds(pids: readonly number[]): Promise<number> {
  const seconds = pids.map(async (pid) => {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The second field is the program's name, which may hold anything; behind its parenthesis, utime and stime are the
    // 12th and 13th.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  });
  return (await Promise.all(seconds)).reduce((sum, each) => sum + each, 0);
}
