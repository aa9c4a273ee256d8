// The bytes of a stream that are yet to be read as messages, in the chunks that they came in.
import { freeMemory } from '../../base/memory.ts';

const lineFeed = 0x0a;

/** Smaller chunks are gathered in larger ones: each has an overhead of hundreds of bytes. */
const smallChunk = 1024;
const gatheredChunk = 16 * 1024;

export class ByteQueue {
  readonly #ownsChunks: boolean;
  #chunks: Buffer[] = [];
  /** Where in the first chunk the next byte is. */
  #at = 0;
  #length = 0;
  /** What small chunks are copied to: the last chunk is its beginning. */
  #gathering: Buffer | undefined;
  /** The chunks in which no line ends, and their bytes that are still to be read. */
  #chunksWithoutEnd = 0;
  #bytesWithoutEnd = 0;

  /** @param ownsChunks nobody else has the chunks: they are freed once they have been read */
  constructor(ownsChunks: boolean) {
    this.#ownsChunks = ownsChunks;
  }

  get length(): number {
    return this.#length;
  }

  push(chunk: Buffer): void {
    this.#length += chunk.length;
    if (chunk.length >= smallChunk || !this.#gather(chunk)) this.#chunks.push(chunk);
  }

  /** The byte at the front. */
  first(): number | undefined {
    return this.#chunks[0]?.[this.#at];
  }

  /** Up to `length` bytes at the front, which stay there; valid until the next call. */
  peek(length: number): Buffer {
    const [first] = this.#chunks;
    if (first === undefined) return Buffer.alloc(0);
    if (first.length - this.#at < length && this.#chunks.length > 1) {
      this.#replaceAll(Buffer.concat(this.#chunks).subarray(this.#at));
    }
    return this.#chunks[0]?.subarray(this.#at, this.#at + length) ?? Buffer.alloc(0);
  }

  /** How many bytes there are before the first line feed; undefined where there is none. */
  lineLength(): number | undefined {
    for (; this.#chunksWithoutEnd < this.#chunks.length; this.#chunksWithoutEnd += 1) {
      const chunk = this.#chunks[this.#chunksWithoutEnd];
      const from = this.#chunksWithoutEnd === 0 ? this.#at : 0;
      const end = chunk?.indexOf(lineFeed, from) ?? -1;
      if (end >= 0) return this.#bytesWithoutEnd + end - from;
      this.#bytesWithoutEnd += (chunk?.length ?? 0) - from;
    }
    return undefined;
  }

  /** Takes a copy of `length` bytes off the front. */
  take(length: number): Buffer {
    const taken = Buffer.allocUnsafe(length);
    for (let filled = 0; filled < length;) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) throw new RangeError('more bytes taken than are buffered');
      const count = chunk.copy(taken, filled, this.#at);
      filled += count;
      this.#drop(count);
    }
    return taken;
  }

  /** Drops bytes off the front. */
  skip(length: number): void {
    for (let left = length; left > 0;) {
      const count = Math.min(left, (this.#chunks[0]?.length ?? 0) - this.#at);
      if (count === 0) throw new RangeError('more bytes dropped than are buffered');
      left -= count;
      this.#drop(count);
    }
  }

  /** Drops bytes of the first chunk. */
  #drop(length: number): void {
    this.#at += length;
    this.#length -= length;
    this.#chunksWithoutEnd = 0;
    this.#bytesWithoutEnd = 0;
    if (this.#at < (this.#chunks[0]?.length ?? 0)) return;
    const chunk = this.#chunks.shift();
    this.#at = 0;
    if (this.#chunks.length === 0) this.#gathering = undefined;
    if (chunk !== undefined && this.#ownsChunks) freeMemory([chunk]);
  }

  /** Copies a chunk behind the small ones before it, where there are some and there is room. */
  #gather(chunk: Buffer): boolean {
    const last = this.#chunks.at(-1);
    if (last === undefined) return false;
    const gathers = this.#gathering !== undefined && last.buffer === this.#gathering.buffer;
    if (!gathers) {
      if (last.length >= smallChunk) return false;
      this.#gathering = Buffer.allocUnsafeSlow(gatheredChunk);
      last.copy(this.#gathering);
    }
    const end = last.length + chunk.length;
    if (this.#gathering === undefined || end > gatheredChunk) return false;
    chunk.copy(this.#gathering, last.length);
    this.#chunks[this.#chunks.length - 1] = this.#gathering.subarray(0, end);
    if (this.#chunksWithoutEnd === this.#chunks.length) {
      // The chunk that has grown is to be searched again.
      this.#chunksWithoutEnd -= 1;
      this.#bytesWithoutEnd -= last.length - (this.#chunksWithoutEnd === 0 ? this.#at : 0);
    }
    return true;
  }

  #replaceAll(chunk: Buffer): void {
    this.#chunks = [chunk];
    this.#at = 0;
    this.#gathering = undefined;
    this.#chunksWithoutEnd = 0;
    this.#bytesWithoutEnd = 0;
  }
}
