// Requests a second with as many instances as cores, against as many drivers in containers fed directly.
import { availableParallelism } from 'node:os';
import { mixedFiles } from './corpus.ts';
import { DirectDrivers } from './direct-drivers.ts';
import type { Figure } from './report.ts';
import { keptInstances, serveHost } from './setting.ts';
import { takeTurns } from './statistics.ts';

const largest = 200 * 1024;

export async function measureThroughput(root: string): Promise<Figure[]> {
  const files = await mixedFiles(300, largest);
  const cores = availableParallelism();
  await using drivers = await DirectDrivers.open(root, 'javascript');
  const started = Array.from({ length: cores }, () => drivers.start());
  await using host = serveHost(root, keptInstances);
  /** Feeds all files to `lanes` at once, each lane one file at a time. */
  const rate = async (lanes: number, parse: (lane: number, index: number) => Promise<unknown>): Promise<number> => {
    let next = 0;
    const startedAt = performance.now();
    await Promise.all(
      Array.from({ length: lanes }, async (_, lane) => {
        while (next < files.length) {
          const index = next;
          next += 1;
          await parse(lane, index);
        }
      }),
    );
    return (1000 * files.length) / (performance.now() - startedAt);
  };
  const { through, direct } = await takeTurns(8, 2, {
    // Twice as many in flight as there are instances: the queue then never runs dry, as with a client of many files.
    through: () =>
      rate(2 * cores, async (_lane, index) => {
        const { file = '', content = '' } = files[index] ?? {};
        await host.client.request('parse', { content, language: 'javascript', filename: file });
      }),
    direct: () =>
      rate(cores, async (lane, index) => {
        const { file = '', content = '' } = files[index] ?? {};
        await started[lane]?.client.parse(content, { language: 'javascript', filename: file });
      }),
  });
  return [
    {
      name: `a mixed corpus of ${files.length} JavaScript files, ${cores} instances`,
      unit: 'requests/s',
      value: through,
      baseline: { name: 'as many drivers in containers, fed directly', value: direct },
      target: { ratio: 0.95, is: 'at least' },
    },
  ];
}
