// A program that answers each line with a line: a driver without its container, or what one is compared with.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

/** The interpreter that the python driver has in its image. */
export const python = '/usr/bin/python3';

/** A process that answers lines with lines. */
export class LineProcess implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #exit: Promise<unknown>;
  #chunks: Buffer[] = [];
  #answered: ((answer: Buffer) => void) | undefined;

  constructor([command, ...args]: readonly [string, ...string[]]) {
    this.#child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env: {} });
    this.#exit = once(this.#child, 'exit');
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      if (chunk.at(-1) !== 0x0a) return;
      const chunks = this.#chunks;
      this.#chunks = [];
      this.#answered?.(chunks.length === 1 ? chunk : Buffer.concat(chunks));
    });
  }

  async ask(line: string): Promise<Buffer> {
    const answer = new Promise<Buffer>((resolve, reject) => {
      this.#answered = resolve;
      void this.#exit.then(() => {
        reject(new Error('the process has ended'));
      });
    });
    this.#child.stdin.write(line);
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin.end();
    await this.#exit;
  }
}
