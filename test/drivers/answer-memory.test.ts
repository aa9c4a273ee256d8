import { describe, expect, it } from 'vitest';
import { AnswerMemory } from '../../src/drivers/answer-memory.ts';
import { takePiece } from '../../src/read-pieces.ts';

const piece = (): Buffer => Buffer.from(new ArrayBuffer(8192));

function memoryOf(...pieces: readonly Buffer[]): AnswerMemory {
  const memory = new AnswerMemory();
  for (const each of pieces) memory.add(each);
  return memory;
}

describe('the memory of an answer', () => {
  it('is given back at once by its only holder', () => {
    const pieces = [piece(), piece()];
    memoryOf(...pieces).free();
    expect(pieces.map(({ buffer }) => buffer.byteLength)).toEqual([0, 0]);
  });

  it('stays until the last of several holders has freed it', () => {
    const one = piece().fill('x');
    const memory = memoryOf(one);
    memory.share(3);
    memory.free();
    memory.free();
    expect(one.toString()).toBe('x'.repeat(8192));
    memory.free();
    expect(one.buffer.byteLength).toBe(0);
  });

  it('is left to the collector where a holder never frees it, or nobody was left to hold it', () => {
    const [one, other] = [piece(), piece()];
    const kept = memoryOf(one);
    kept.share(2);
    kept.free();
    const unheld = memoryOf(other);
    unheld.share(0);
    unheld.free();
    expect([one.length, other.length]).toEqual([8192, 8192]);
  });

  it('leaves alone what lies in a buffer with others, and what is too small to matter', () => {
    const common = Buffer.from(new ArrayBuffer(16_384)).fill('c');
    const small = Buffer.from(new ArrayBuffer(1)).fill('s');
    memoryOf(common.subarray(0, 8192), common.subarray(8192), small).free();
    expect(common.toString()).toBe('c'.repeat(16_384));
    expect(small.toString()).toBe('s');
  });

  it('takes the views that it has lent with it, when the last holder has freed it', () => {
    const one = piece();
    const memory = memoryOf(one);
    const lent = memory.lend([one.subarray(1, 5), one.subarray(5)]);
    memory.share(2);
    memory.free();
    expect(lent).toHaveLength(2);
    memory.free();
    expect(lent).toEqual([]);
  });

  it('is used again for other reads, which no view of the old answer shows', () => {
    const old = takePiece().fill('o');
    const part = old.subarray(10, 20);
    memoryOf(old).free();
    const next = takePiece();
    // The very same memory: it has what was written to it before.
    expect(next.toString('latin1', 0, 10)).toBe('oooooooooo');
    next.fill('n');
    expect([old.length, part.length, part.toString()]).toEqual([0, 0, '']);
  });
});
