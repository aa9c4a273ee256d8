// Memory that is freed before the collector comes to it.
import { describe, expect, it } from 'vitest';
import { freeMemory } from '../../src/base/memory.ts';

describe('freeing memory', () => {
  it('empties every view of a buffer that covers its memory', () => {
    const whole = Buffer.allocUnsafeSlow(64 * 1024).fill('x');
    const part = whole.subarray(10, 20);
    freeMemory([whole]);
    expect(whole.byteLength).toBe(0);
    expect(part.byteLength).toBe(0);
  });

  it('leaves alone what others may have a part of, and what is small', () => {
    const memory = Buffer.allocUnsafeSlow(64 * 1024).fill('x');
    const pooled = Buffer.from('y'.repeat(1000));
    const small = Buffer.allocUnsafeSlow(100).fill('z');
    freeMemory([memory.subarray(1), pooled, small]);
    expect(memory.byteLength).toBe(64 * 1024);
    expect(pooled.toString()).toBe('y'.repeat(1000));
    expect(small.toString()).toBe('z'.repeat(100));
  });

  it('does nothing to memory that is freed already', () => {
    const whole = Buffer.allocUnsafeSlow(64 * 1024);
    freeMemory([whole, whole]);
    freeMemory([whole]);
    expect(whole.byteLength).toBe(0);
  });
});
