// Results in batches: all of them, once, in order, whatever their sizes and however slow the receiver.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OutcomeBatches } from '../../../src/drivers/parse/outcome-batches.ts';

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

describe('batches of results', () => {
  it('lose nothing, double nothing and keep the order, one batch at a time', async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 300_000 }), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.integer({ min: 1, max: 4 }), async (bytes, workers) => {
        const taken: number[] = [];
        let pending = 0;
        const batches = new OutcomeBatches<number>(async (batch) => {
          pending += 1;
          expect(pending).toBe(1);
          expect(batch.length).toBeGreaterThan(0);
          await turn();
          taken.push(...batch);
          pending -= 1;
        });
        let next = 0;
        const work = async (): Promise<void> => {
          while (next < bytes.length) {
            const index = next;
            next += 1;
            await batches.add(index, bytes[index] ?? 0);
          }
        };
        await Promise.all(Array.from({ length: workers }, work));
        await batches.end();
        expect(taken).toEqual(bytes.map((_, index) => index));
      }),
      { numRuns: 50 },
    );
  });

  it('let small ones go together and a large one at once', async () => {
    const batches: (readonly string[])[] = [];
    const all = new OutcomeBatches<string>((batch) => {
      batches.push(batch);
      return Promise.resolve();
    });
    await all.add('small', 1000);
    await all.add('smaller', 10);
    expect(batches).toEqual([]);
    await all.add('large', 1_000_000);
    expect(batches).toEqual([['small', 'smaller', 'large']]);
    await all.add('last', 1);
    await expect.poll(() => batches.at(-1), { timeout: 1000 }).toEqual(['last']);
    await all.end();
    expect(batches).toHaveLength(2);
  });

  it('make whoever adds wait while the receiver does not take', async () => {
    let take: () => void = () => undefined;
    const batches = new OutcomeBatches<number>(
      () =>
        new Promise((resolve) => {
          take = resolve;
        }),
    );
    let room = false;
    const added = batches.add(1, 1_000_000).then(() => {
      room = true;
    });
    await turn();
    expect(room).toBe(false);
    take();
    await added;
    await batches.end();
  });

  it('tell whoever adds or ends why a batch was not taken', async () => {
    const batches = new OutcomeBatches<number>(() => Promise.reject(new Error('gone')));
    await expect(batches.add(1, 1_000_000)).rejects.toThrow('gone');
    await expect(batches.add(2, 1)).rejects.toThrow('gone');
    await expect(batches.end()).rejects.toThrow('gone');
  });

  it('are not handed on after they were dropped', async () => {
    const taken: number[] = [];
    const batches = new OutcomeBatches<number>((batch) => {
      taken.push(...batch);
      return Promise.resolve();
    });
    await batches.add(1, 1);
    batches.drop();
    await batches.end();
    expect(taken).toEqual([]);
  });
});
