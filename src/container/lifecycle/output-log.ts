// The end of what a process wrote to its stdout and stderr, up to a limit: the oldest bytes are dropped.
import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout } from 'node:timers/promises';

export type OutputStream = 'stdout' | 'stderr';

export interface OutputChunk {
  readonly stream: OutputStream;
  readonly text: string;
}

/** Small writes are joined up to this length: for a writer of single bytes the list would take more memory than the bytes. */
const joinedBytes = 4096;

/** Alternating writes to both streams cannot be joined: there is at most one piece for so many bytes of the limit. */
const bytesPerPiece = 64;

export class OutputLog {
  readonly #limitBytes: number;
  readonly #chunks: { readonly stream: OutputStream; readonly bytes: Buffer }[] = [];
  #held = 0;
  #dropped = 0;
  readonly #ended: Promise<unknown>;

  /**
   * Reads a process's streams to their ends.
   * @param limitBytes how much is kept
   */
  constructor(limitBytes: number, stdout: Readable, stderr: Readable) {
    this.#limitBytes = limitBytes;
    this.#ended = Promise.allSettled([this.#follow('stdout', stdout), this.#follow('stderr', stderr)]);
  }

  /** Resolves when both streams have ended, or after `mostMs` milliseconds. */
  async settled(mostMs: number): Promise<void> {
    await Promise.race([this.#ended, setTimeout(mostMs, undefined, { ref: false })]);
  }

  /** How many bytes were dropped. */
  get droppedBytes(): number {
    return this.#dropped;
  }

  /** What is kept, oldest first, the streams in the order in which their bytes came. */
  read(): OutputChunk[] {
    const runs: { stream: OutputStream; parts: Buffer[] }[] = [];
    for (const { stream, bytes } of this.#chunks) {
      const last = runs.at(-1);
      if (last?.stream === stream) last.parts.push(bytes);
      else runs.push({ stream, parts: [bytes] });
    }
    return runs.map(({ stream, parts }) => ({ stream, text: Buffer.concat(parts).toString('utf8') }));
  }

  /** What is kept of one stream. */
  textOf(wanted: OutputStream): string {
    return Buffer.concat(this.#chunks.filter(({ stream }) => stream === wanted).map(({ bytes }) => bytes)).toString();
  }

  async #follow(stream: OutputStream, readable: Readable): Promise<void> {
    readable.on('data', (bytes: Buffer) => {
      this.#add(stream, bytes);
    });
    // An earlier reader may have left it paused.
    readable.resume();
    await finished(readable, { writable: false });
  }

  #add(stream: OutputStream, bytes: Buffer): void {
    const last = this.#chunks.at(-1);
    if (last?.stream === stream && last.bytes.length + bytes.length <= joinedBytes) {
      // In memory of its own: a slice of Node's shared pool would keep all of the pool.
      const joined = Buffer.allocUnsafeSlow(last.bytes.length + bytes.length);
      joined.set(last.bytes);
      joined.set(bytes, last.bytes.length);
      this.#chunks[this.#chunks.length - 1] = { stream, bytes: joined };
    } else {
      this.#chunks.push({ stream, bytes });
    }
    this.#held += bytes.length;
    const mostPieces = Math.ceil(this.#limitBytes / bytesPerPiece);
    while (this.#held > this.#limitBytes || this.#chunks.length > mostPieces) {
      const [first] = this.#chunks;
      if (first === undefined) return;
      const whole = first.bytes.length;
      const cut = this.#chunks.length > mostPieces ? whole : Math.min(this.#held - this.#limitBytes, whole);
      if (cut === whole) this.#chunks.shift();
      else this.#chunks[0] = { stream: first.stream, bytes: first.bytes.subarray(cut) };
      this.#held -= cut;
      this.#dropped += cut;
    }
  }
}
