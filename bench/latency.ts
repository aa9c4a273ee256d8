// How long one warm parse takes through the host, against the same driver in the same container behind the least program of
// Node's that a host could be (relay-process.ts). What that program itself adds to the driver is told beside it.
import { fileURLToPath } from 'node:url';
import { fileOfSize } from './corpus.ts';
import { DirectDrivers } from './direct-drivers.ts';
import type { Figure } from './report.ts';
import { serveHost } from './setting.ts';
import { takeTurns, timed } from './statistics.ts';

const relay = fileURLToPath(new URL('relay-process.ts', import.meta.url));

/** The files that are parsed. The first requests of each size are not counted: V8 compiles during them, in host and driver. */
const sizes = [
  { kilobytes: 3, warmUp: 1000, rounds: 500, target: 1.12 },
  { kilobytes: 8, warmUp: 500, rounds: 300, target: 1.1 },
  { kilobytes: 150, warmUp: 20, rounds: 60, target: 1.03 },
];

export async function measureLatency(root: string): Promise<Figure[]> {
  await using drivers = await DirectDrivers.open(root, 'javascript');
  const { client: driver } = drivers.start();
  const { client: relayed } = drivers.start([process.execPath, relay, 'runc']);
  await using host = serveHost(root, ['--max-instances', '1']);
  const figures: Figure[] = [];
  for (const { kilobytes, warmUp, rounds, target } of sizes) {
    const { file, content } = await fileOfSize(kilobytes * 1024);
    const hints = { language: 'javascript', filename: file };
    const { through, direct, between } = await takeTurns(rounds, warmUp, {
      through: () => timed(() => host.client.request('parse', { content, ...hints })),
      direct: () => timed(() => driver.parse(content, hints)),
      between: () => timed(() => relayed.parse(content, hints)),
    });
    const size = `${(content.length / 1024).toFixed(0)} KB`;
    figures.push(
      {
        name: `parse of a ${size} JavaScript file, warm`,
        unit: 'ms',
        value: through,
        baseline: {
          name: 'the same driver in a container, behind a program of Node’s that passes bytes on',
          value: between,
        },
        target: { ratio: target, is: 'at most' },
      },
      {
        name: `no host, but that program, ${size}`,
        unit: 'ms',
        value: between,
        baseline: { name: 'the same driver in a container, over its pipes', value: direct },
      },
    );
  }
  return figures;
}
