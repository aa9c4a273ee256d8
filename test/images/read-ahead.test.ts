// Reading a stream before it is asked for, and giving its memory back.
import { describe, expect, it } from 'vitest';
import { ReadAhead } from '../../src/images/unpack/read-ahead.ts';

/** Chunks of two to a piece of memory, as the decoders give them. */
async function* pieces(count: number, state: { read: number; closed: boolean }): AsyncGenerator<Buffer> {
  try {
    for (let index = 0; index < count; index += 1) {
      await Promise.resolve();
      const memory = new ArrayBuffer(2 * 1024 ** 2);
      for (const at of [0, 1024 ** 2]) {
        state.read += 1;
        yield Buffer.from(memory, at, 1024 ** 2).fill(state.read);
      }
    }
  } finally {
    state.closed = true;
  }
}

describe('what is read ahead', () => {
  it('is 4 MiB and a chunk at most, comes in order, and is freed when it is done with', async () => {
    const state = { read: 0, closed: false };
    using ahead = new ReadAhead(pieces(8, state));
    let asked = 0;
    let previous: Buffer | undefined;
    for await (const chunk of ahead) {
      asked += 1;
      expect([chunk.length, chunk[0], chunk.at(-1)]).toEqual([1024 ** 2, asked, asked]);
      if (asked % 2 === 1) expect(previous?.buffer.byteLength ?? 0).toBe(0);
      previous = chunk;
      expect(state.read).toBeLessThanOrEqual(asked + 5);
    }
    expect(asked).toBe(16);
    expect(state.closed).toBe(true);
  });

  it("leaves Node's pool alone, which small chunks that a stream has joined lie in", async () => {
    const { poolSize } = Buffer;
    const small: Buffer[] = [];
    // As many as fill the pool to its end, at least once.
    for (let bytes = 0; bytes < 2 * poolSize; bytes += 64) small.push(Buffer.allocUnsafe(64).fill(7));
    expect(small.some(({ buffer, byteOffset }) => byteOffset + 64 === buffer.byteLength)).toBe(true);
    using ahead = new ReadAhead(
      (async function* () {
        await Promise.resolve();
        yield* small;
      })(),
    );
    let count = 0;
    for await (const chunk of ahead) {
      expect(chunk[63]).toBe(7);
      count += 1;
    }
    expect(count).toBe(small.length);
  });

  it('fails as its source does, behind what came before', async () => {
    using ahead = new ReadAhead(
      (async function* () {
        await Promise.resolve();
        yield Buffer.from('before');
        throw new Error('broken');
      })(),
    );
    const got: string[] = [];
    const reading = async () => {
      for await (const chunk of ahead) got.push(chunk.toString());
    };
    await expect(reading()).rejects.toThrow('broken');
    expect(got).toEqual(['before']);
  });

  it('is let go of when nobody asks for the rest', async () => {
    const state = { read: 0, closed: false };
    const ahead = new ReadAhead(pieces(8, state));
    for await (const chunk of ahead) {
      expect(chunk[0]).toBe(1);
      break;
    }
    ahead[Symbol.dispose]();
    await expect.poll(() => state.closed).toBe(true);
    expect(state.read).toBeLessThan(16);
  });
});
