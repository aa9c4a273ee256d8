import { setImmediate as nextTurn } from 'node:timers/promises';
import { getHeapSpaceStatistics } from 'node:v8';
import { expect, it } from 'vitest';
import { collectYoungGarbage, LargeSources } from '../../../src/drivers/parse/large-sources.ts';

it('collects when some megabytes of large sources have come, and never for small ones', async () => {
  let collected = 0;
  const sources = new LargeSources(() => (collected += 1));
  for (let count = 0; count < 10_000; count += 1) sources.count(60_000);
  await nextTurn();
  expect(collected).toBe(0);
  for (let count = 0; count < 20; count += 1) sources.count(100_000);
  await nextTurn();
  expect(collected).toBe(0);
  sources.count(100_000);
  // Not before those who sent it have their turn.
  expect(collected).toBe(0);
  await nextTurn();
  expect(collected).toBe(1);
  sources.count(100_000);
  await nextTurn();
  expect(collected).toBe(1);
});

it('leaves no large strings behind that nobody has', () => {
  const used = (): number =>
    getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_large_object_space')?.space_used_size ?? NaN;
  const text = Buffer.alloc(200_000, 'x');
  for (let round = 0; round < 2; round += 1) {
    let length = 0;
    for (let count = 0; count < 5; count += 1) length += text.toString('utf8').length;
    expect(length).toBe(1_000_000);
    collectYoungGarbage();
    expect(used()).toBeLessThan(500_000);
  }
  expect('gc' in globalThis).toBe(false);
});
