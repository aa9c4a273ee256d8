// Lines of bounded length from bytes that come in pieces. A line that is longer than any of its writer's was written by
// somebody else, and nothing after it can be trusted.
import type { Readable } from 'node:stream';

const newline = 0x0a;

export class LineSplitter {
  readonly #longest: number;
  #rest: Buffer = Buffer.alloc(0);
  #broken = false;

  /** @param longest the longest line, in bytes without its newline */
  constructor(longest: number) {
    this.#longest = longest;
  }

  /** The lines that end in `bytes`; undefined for one that is too long, after which there are none. */
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
 * @param longest the longest line, in bytes
 * @param onLine called for each line, and with undefined for one that is too long, after which there are none
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

/** Reads a stream in pieces; resolves as readLines. */
export function readBytes(stream: Readable, onBytes: (bytes: Buffer) => void): Promise<undefined> {
  const ended = Promise.withResolvers<undefined>();
  const end = () => {
    ended.resolve(undefined);
  };
  if (stream.readableEnded || stream.destroyed) end();
  stream.on('data', onBytes);
  stream.on('end', end);
  stream.on('close', end);
  // A reset connection is an end like any other: how processes ended is known from the guard.
  stream.on('error', end);
  return ended.promise;
}

/**
 * Resolves when a stream whose writer is gone or was killed has ended and was read.
 * @param ended of readLines or readBytes
 * @param timeoutMs after which it is destroyed: others may have its other end
 */
export async function finish(stream: Readable, ended: Promise<undefined>, timeoutMs: number): Promise<void> {
  const timer = setTimeout(() => stream.destroy(), timeoutMs);
  await ended;
  clearTimeout(timer);
  stream.destroy();
}
