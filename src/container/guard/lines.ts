// Lines out of bytes that come in pieces, of bounded length: what is longer than anything its writer has to say was not
// written by it, and nothing that comes after it can be understood.
import type { Readable } from 'node:stream';

const newline = 0x0a;

export class LineSplitter {
  readonly #longest: number;
  #rest: Buffer = Buffer.alloc(0);
  #broken = false;

  /** @param longest what a line may have, in bytes, without its newline */
  constructor(longest: number) {
    this.#longest = longest;
  }

  /** The lines that end in `bytes`. For one that is too long there is undefined, and nothing ever after. */
  split(bytes: Uint8Array): (string | undefined)[] {
    const lines: (string | undefined)[] = [];
    for (let start = 0; !this.#broken;) {
      const end = bytes.indexOf(newline, start);
      const part = bytes.subarray(start, end < 0 ? undefined : end);
      this.#broken = this.#rest.length + part.length > this.#longest;
      const line = this.#broken ? undefined : Buffer.concat([this.#rest, part]);
      this.#rest = Buffer.alloc(0);
      if (end < 0 && line !== undefined) {
        this.#rest = line;
        break;
      }
      lines.push(line?.toString('utf8'));
      start = end + 1;
    }
    return lines;
  }
}

/**
 * Reads a stream in lines.
 * @param longest what a line may have, in bytes
 * @param onLine is given each line, and undefined for one that is too long, after which there are none
 * @returns resolves at the end of the stream, whatever ends it
 */
export function readLines(
  stream: Readable,
  longest: number,
  onLine: (line: string | undefined) => void,
): Promise<undefined> {
  const lines = new LineSplitter(longest);
  return readBytes(stream, (bytes) => {
    for (const line of lines.split(bytes)) onLine(line);
  });
}

/**
 * Reads a stream in whatever pieces come.
 * @returns as of readLines
 */
export function readBytes(stream: Readable, onBytes: (bytes: Buffer) => void): Promise<undefined> {
  const ended = Promise.withResolvers<undefined>();
  const end = () => {
    ended.resolve(undefined);
  };
  if (stream.readableEnded || stream.destroyed) end();
  stream.on('data', onBytes);
  stream.on('end', end);
  stream.on('close', end);
  // A reset connection is an end like any other: what matters comes from the guard.
  stream.on('error', end);
  return ended.promise;
}

/**
 * For a stream that is about to end, as its writer is gone or was killed: resolves when it has, and was read.
 * @param ended of readLines or readBytes
 * @param patienceMs after which it is destroyed, for others may have its other end
 */
export async function finish(stream: Readable, ended: Promise<undefined>, patienceMs: number): Promise<void> {
  const timer = setTimeout(() => stream.destroy(), patienceMs);
  await ended;
  clearTimeout(timer);
  stream.destroy();
}
