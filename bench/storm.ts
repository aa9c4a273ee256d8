// What honest drivers' clients notice of containers that attack, all at once, on the same host.
import path from 'node:path';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { buildAttackImage, endAttacks, startAttacks } from '../test/support/attacks.ts';
import { fileOfSize } from './corpus.ts';
import type { Figure } from './report.ts';
import { keptInstances, serveHostWithRawTrees } from './setting.ts';
import { takeTurns, timed } from './statistics.ts';

const rounds = 6;
const requests = 500;

export async function measureStorm(root: string): Promise<Figure[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-bench-'));
  await using host = serveHostWithRawTrees(root, keptInstances);
  const { content, file: filename } = await fileOfSize(8 * 1024);
  const parse = () => host.client.request('parse', { content, filename, language: 'javascript' });
  for (let i = 0; i < requests; i += 1) await parse();
  const batch = async () => {
    const times: number[] = [];
    for (let i = 0; i < requests; i += 1) times.push(await timed(parse));
    return percentile99(times);
  };
  const image = await buildAttackImage(folder, host.client);
  const { quiet, storm } = await takeTurns(rounds, 0, {
    quiet: batch,
    storm: async () => {
      const ids = await startAttacks(image, host.client);
      const measured = await batch();
      await endAttacks(ids, host.client);
      return measured;
    },
  });
  await rm(folder, { recursive: true });
  return [
    {
      name: 'parse of an 8 KB JavaScript file, p99, beside thirteen containers that attack',
      unit: 'ms',
      value: storm,
      baseline: { name: 'the same without them', value: quiet },
      target: { ratio: 1.5, is: 'at most' },
    },
  ];
}

function percentile99(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? NaN;
}
