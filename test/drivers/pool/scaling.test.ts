import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  additiveIncreaseMultiplicativeDecrease,
  averageLoad,
  averageTarget,
  defaultPolicy,
  within,
} from '../../../src/drivers/pool/scaling.ts';

describe('a scaling policy', () => {
  it.each([
    ['grows by one for what waits', { total: 2, idle: 0, waiting: 5 }, 3],
    ['grows by no more than waits', { total: 2, idle: 0, waiting: 0 }, 2],
    ['counts idle instances against what waits', { total: 3, idle: 2, waiting: 2 }, 3],
    ['gives up a quarter of what is idle, rounded up', { total: 10, idle: 8, waiting: 0 }, 8],
    ['gives up the last idle one', { total: 1, idle: 1, waiting: 0 }, 0],
  ])('of additive increase and multiplicative decrease %s', (_what, load, expected) => {
    expect(additiveIncreaseMultiplicativeDecrease(1, 0.25)(load)).toBe(expected);
  });

  it('stays within bounds', () => {
    expect(within(1, 4, () => 9)({ total: 0, idle: 0, waiting: 0 })).toBe(4);
    expect(within(1, 4, () => -9)({ total: 0, idle: 0, waiting: 0 })).toBe(1);
  });

  it('over an average load does not follow one burst', () => {
    const seen: number[] = [];
    const policy = averageLoad(4, ({ waiting }) => {
      seen.push(waiting);
      return 0;
    });
    for (const waiting of [8, 0, 0, 0, 0]) policy({ total: 1, idle: 1, waiting });
    expect(seen).toEqual([8, 4, 3, 2, 0]);
  });

  it('over an average target comes down slowly', () => {
    const wanted = [4, 1, 1, 1, 1];
    const policy = averageTarget(4, () => wanted.shift() ?? 1);
    expect([0, 0, 0, 0, 0].map(() => policy({ total: 0, idle: 0, waiting: 0 }))).toEqual([4, 3, 2, 2, 1]);
  });

  it('of the default never leaves its bounds, and settles at the minimum without load and at the maximum under it', () => {
    const load = fc.record({ idle: fc.nat(20), waiting: fc.nat(1000) });
    fc.assert(
      fc.property(fc.array(load, { maxLength: 100 }), (history) => {
        const options = {
          minimumInstances: 1,
          maximumInstances: 6,
          windowMs: 5000,
          tickMs: 500,
          increase: 1,
          decrease: 0.25,
        };
        const policy = defaultPolicy(options);
        let total = 1;
        const step = (idle: number, waiting: number): void => {
          total = policy({ total, idle: Math.min(idle, total), waiting });
          expect(total).toBeGreaterThanOrEqual(1);
          expect(total).toBeLessThanOrEqual(6);
        };
        for (const { idle, waiting } of history) step(idle, waiting);
        for (let tick = 0; tick < 100; tick += 1) step(0, 100);
        expect(total).toBe(6);
        for (let tick = 0; tick < 200; tick += 1) step(total, 0);
        expect(total).toBe(1);
      }),
    );
  });
});
