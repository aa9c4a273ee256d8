// The last that a process wrote to its stdout and stderr, bounded: whoever writes more loses the oldest of it.
import type { Readable } from 'node:stream';

export type OutputStream = 'stdout' | 'stderr';

export interface OutputChunk {
  readonly stream: OutputStream;
  readonly text: string;
}

/** Small writes are joined up to this length, or a writer of single bytes would make the list the larger part of the log. */
const joinedBytes = 4096;

/** Where a process writes to both streams by turns nothing can be joined: there is one piece for so many bytes of the limit. */
const bytesPerPiece = 64;

export class OutputLog {
  readonly #limitBytes: number;
  readonly #chunks: { readonly stream: OutputStream; readonly bytes: Buffer }[] = [];
  #held = 0;
  #dropped = 0;
  #open = 0;
  readonly #ended = Promise.withResolvers<undefined>();

  /** @param limitBytes how much is kept */
  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Resolves when both of a process's streams have ended. */
  get ended(): Promise<undefined> {
    return this.#ended.promise;
  }

  /** Resolves when both have ended, or after `patienceMs`. */
  async settled(patienceMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const impatient = new Promise<undefined>((resolve) => {
      timer = setTimeout(resolve, patienceMs, undefined);
    });
    await Promise.race([this.ended, impatient]);
    clearTimeout(timer);
  }

  /** How many bytes were lost. */
  get droppedBytes(): number {
    return this.#dropped;
  }

  /** Reads a process's streams to their ends. */
  follow(stdout: Readable, stderr: Readable): void {
    for (const [stream, readable] of [
      ['stdout', stdout],
      ['stderr', stderr],
    ] as const) {
      this.#open += 1;
      readable.on('data', (bytes: Buffer) => {
        this.#add(stream, bytes);
      });
      readable.once('close', () => {
        this.#open -= 1;
        if (this.#open === 0) this.#ended.resolve(undefined);
      });
      // Whoever read from it before may have left it paused.
      readable.resume();
    }
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

  #add(stream: OutputStream, bytes: Buffer): void {
    const last = this.#chunks.at(-1);
    if (last?.stream === stream && last.bytes.length + bytes.length <= joinedBytes) {
      // In memory of its own: a part of a common buffer would keep all of that.
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
