// How long one warm parse takes through the host, against the same driver in the same container over its pipes.
import { fileOfSize } from './corpus.ts';
import { DirectDrivers } from './direct-drivers.ts';
import type { Figure } from './report.ts';
import { serveHost } from './setting.ts';
import { takeTurns, timed } from './statistics.ts';

/**
 * The files that are parsed. Warm is who has been asked a thousand times: until then V8 compiles, in host and driver.
 */
export const latencySizes = [
  { kilobytes: 3, warmUp: 1000, rounds: 500, target: 1.15 },
  { kilobytes: 8, warmUp: 500, rounds: 300, target: 1.08 },
  { kilobytes: 150, warmUp: 20, rounds: 60, target: 1.03 },
];

export async function measureLatency(root: string): Promise<Figure[]> {
  await using drivers = await DirectDrivers.open(root, 'javascript');
  const { client: driver } = drivers.start();
  await using host = serveHost(root, ['--max-instances', '1']);
  const figures: Figure[] = [];
  for (const { kilobytes, warmUp, rounds, target } of latencySizes) {
    const { file, content } = await fileOfSize(kilobytes * 1024);
    const hints = { language: 'javascript', filename: file };
    const { through, direct } = await takeTurns(rounds, warmUp, {
      through: () => timed(() => host.client.request('parse', { content, ...hints })),
      direct: () => timed(() => driver.parse(content, hints)),
    });
    figures.push({
      name: `parse of a ${(content.length / 1024).toFixed(0)} KB JavaScript file, warm`,
      unit: 'ms',
      value: through,
      baseline: { name: 'the same driver in a container, over its pipes', value: direct },
      target: { ratio: target, is: 'at most' },
    });
  }
  return figures;
}
