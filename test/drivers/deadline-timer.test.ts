import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DeadlineTimer } from '../../src/drivers/deadline-timer.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a timer for deadlines', () => {
  it('tells of each deadline that is not met, and of no other', () => {
    const startedAt = performance.now();
    const late: number[] = [];
    const timer = new DeadlineTimer(() => late.push(performance.now() - startedAt));
    timer.set(startedAt + 100);
    vi.advanceTimersByTime(60);
    timer.met();
    // The timer still runs for the first one, and must not take this one for it.
    timer.set(startedAt + 300);
    vi.advanceTimersByTime(239);
    expect(late).toEqual([]);
    vi.advanceTimersByTime(2);
    expect(late).toEqual([300]);
    vi.advanceTimersByTime(1000);
    expect(late).toEqual([300]);
  });

  it('is not late for one that comes before what it is set for', () => {
    const startedAt = performance.now();
    const late: number[] = [];
    const timer = new DeadlineTimer(() => late.push(performance.now() - startedAt));
    timer.set(startedAt + 30_000);
    timer.met();
    timer.set(startedAt + 20);
    vi.advanceTimersByTime(25);
    expect(late).toEqual([20]);
  });

  it('is silent once it has ended', () => {
    const onLate = vi.fn();
    const timer = new DeadlineTimer(onLate);
    timer.set(performance.now() + 10);
    timer.end();
    vi.advanceTimersByTime(100);
    expect(onLate).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });
});
