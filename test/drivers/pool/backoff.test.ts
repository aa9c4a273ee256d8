import { expect, it, vi, onTestFinished } from 'vitest';
import { Backoff } from '../../../src/drivers/pool/backoff.ts';

it('waits twice as long after each failure, up to half a minute, and never all at once', () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const backoff = new Backoff();
  expect(backoff.remainingMs).toBe(0);
  for (const longest of [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]) {
    backoff.failed();
    expect(backoff.remainingMs).toBeLessThanOrEqual(longest);
    expect(backoff.remainingMs).toBeGreaterThanOrEqual(longest / 2);
  }
  vi.advanceTimersByTime(30_000);
  expect(backoff.remainingMs).toBe(0);
  const waits = Array.from({ length: 20 }, () => {
    const each = new Backoff();
    each.failed();
    return each.remainingMs;
  });
  expect(Math.max(...waits)).toBeLessThanOrEqual(100);
  expect(new Set(waits).size).toBeGreaterThan(10);
});
