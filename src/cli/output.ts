// stdout: results and nothing else. Writers wait for the reader, so nothing piles up; a reader that has gone ends the work
// quietly.
import { createWriteStream, fstatSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { systemErrorCode } from '../base/errors.ts';
import { harmlessJson, styleFor, type Style } from './text.ts';

/** What writing to a pipe or a socket fails with when nobody reads it any more. */
const gone: ReadonlySet<string | undefined> = new Set(['EPIPE', 'ECONNRESET']);

export class Output {
  readonly style: Style;
  readonly isTerminal: boolean;
  /** Whether it is a file, which always takes what is written. */
  readonly isFile: boolean;
  /** Whether the reader has gone. */
  closed = false;
  readonly #stream: Writable;
  readonly #onClosed: () => void;
  #draining: Promise<void> | undefined;

  /** @param onClosed called when the reader has gone */
  constructor(stdout: typeof process.stdout, onClosed: () => void) {
    this.isFile = fstatSync(stdout.fd).isFile();
    // Node's own stream writes to a file synchronously, while nothing else is done: a seventh of the host's time for a folder.
    const stream = this.isFile ? createWriteStream('', { fd: stdout.fd, autoClose: false }) : stdout;
    this.#stream = stream;
    this.#onClosed = onClosed;
    this.style = styleFor(stdout);
    this.isTerminal = stdout.isTTY;
    stream.on('error', (error) => {
      if (!gone.has(systemErrorCode(error))) throw error;
      this.#close();
    });
  }

  get stream(): Writable {
    return this.#stream;
  }

  /** Writes pieces one after another. @returns whether the reader keeps up; if not, wait for `drained` */
  write(...pieces: readonly (string | Uint8Array)[]): boolean {
    if (this.closed) return true;
    this.#stream.cork();
    let keepsUp = true;
    for (const piece of pieces) keepsUp = this.#stream.write(piece);
    this.#stream.uncork();
    return keepsUp;
  }

  /** Calls `then` when the system has all that was written so far. Never if the reader has gone. */
  onceWritten(then: () => void): void {
    if (!this.closed) this.#stream.write('', then);
  }

  /** Resolves when the reader has taken what was written, or has gone. */
  async drained(): Promise<void> {
    if (this.closed || !this.#stream.writableNeedDrain) return;
    // One pair of listeners for all callers: each write that the reader is behind with may call this.
    this.#draining ??= new Promise((resolve) => {
      const done = (): void => {
        this.#stream.off('drain', done).off('close', done);
        this.#draining = undefined;
        resolve();
      };
      this.#stream.on('drain', done).on('close', done);
    });
    await this.#draining;
  }

  /** Resolves when the reader has all that was written. Call before the process ends. */
  async flush(): Promise<void> {
    if (this.closed || this.#stream.writableLength === 0) return;
    await new Promise<void>((resolve) => {
      this.#stream.write('', () => {
        resolve();
      });
    });
  }

  /** A value as JSON, indented. */
  json(value: unknown): void {
    this.write(`${harmlessJson(value, 2)}\n`);
  }

  #close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#onClosed();
  }
}
