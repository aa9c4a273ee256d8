// How long one warm parse takes through the host, against the same driver in the same container over its pipes.
import { fileOfSize } from './corpus.ts';
import type { Figure } from './report.ts';
import { DirectDrivers, serveHost } from './setting.ts';
import { takeTurns, timed } from './statistics.ts';

const sizes = [
  { kilobytes: 3, rounds: 400, target: 1.15 },
  { kilobytes: 8, rounds: 300, target: 1.08 },
  { kilobytes: 150, rounds: 40, target: 1.03 },
];

export async function measureLatency(root: string): Promise<Figure[]> {
  await using drivers = await DirectDrivers.open(root, 'javascript');
  const { client: driver } = await drivers.boot();
  await using host = serveHost(root, ['--max-instances', '1']);
  const figures: Figure[] = [];
  for (const { kilobytes, rounds, target } of sizes) {
    const { file, content } = await fileOfSize(kilobytes * 1024);
    const hints = { language: 'javascript', filename: file };
    const { through, direct } = await takeTurns(rounds, Math.ceil(rounds / 4), {
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
