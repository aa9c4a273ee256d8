import { describe, expect, it } from 'vitest';
import { Canceller, type Cancellation } from '../../src/drivers/cancellation.ts';

describe('taking something back', () => {
  it.each<[string, () => { signal: Cancellation; abort: () => void }]>([
    [
      'with a canceller',
      () => {
        const canceller = new Canceller();
        return {
          signal: canceller,
          abort: () => {
            canceller.abort();
          },
        };
      },
    ],
    [
      'with an AbortController',
      () => {
        const controller = new AbortController();
        return {
          signal: controller.signal,
          abort: () => {
            controller.abort();
          },
        };
      },
    ],
  ])('%s tells each listener once, in their order, and none that left or came late', (_, make) => {
    const { signal, abort } = make();
    const told: string[] = [];
    const leaving = (): void => {
      told.push('left');
    };
    signal.addEventListener('abort', () => told.push('first'), { once: true });
    signal.addEventListener('abort', leaving, { once: true });
    signal.addEventListener('abort', () => told.push(`second, aborted: ${String(signal.aborted)}`), { once: true });
    signal.removeEventListener('abort', leaving);
    expect(signal.aborted).toBe(false);
    abort();
    abort();
    signal.addEventListener('abort', () => told.push('late'), { once: true });
    abort();
    expect(told).toEqual(['first', 'second, aborted: true']);
  });
});
