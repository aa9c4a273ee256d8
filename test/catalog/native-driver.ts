// A driver of the catalogue as a child process, spoken to over its pipes as the host does, without a container.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

export interface Answer {
  readonly status: string;
  readonly errors: readonly {
    readonly message: string;
    readonly line?: number;
    readonly column?: number;
    readonly offset?: number;
  }[];
  readonly ast: unknown;
}

/** The interpreters that the tests run the drivers with: those that the recipes pack. */
export const python = '/usr/bin/python3';
export const node = process.execPath;

const folder = fileURLToPath(new URL('../../catalog/', import.meta.url));
const programs = {
  javascript: { command: node, arguments: [`${folder}javascript/bin/native`] },
  python: { command: python, arguments: ['-BIS', `${folder}python/bin/native`] },
};
export type CatalogLanguage = keyof typeof programs;

/** A running driver. End it with `end()` (stdin is closed and it should exit by itself) or `await using`. */
export class NativeDriver implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncGenerator<string, undefined>;
  readonly #exit: Promise<unknown[]>;
  /** What it wrote to stderr so far. */
  stderr = '';

  constructor(language: CatalogLanguage, options: { command?: string; environment?: NodeJS.ProcessEnv } = {}) {
    const program = programs[language];
    this.#child = spawn(options.command ?? program.command, program.arguments, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: options.environment ?? {},
    });
    this.#exit = once(this.#child, 'exit');
    this.#child.stderr.setEncoding('utf8').on('data', (chunk: string) => (this.stderr += chunk));
    this.#lines = lines(this.#child.stdout);
  }

  /** The memory that it has at this moment. */
  residentBytes(): number {
    const status = readFileSync(`/proc/${String(this.#child.pid)}/status`, 'utf8');
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  /** Writes bytes as they are. */
  write(bytes: string | Uint8Array): void {
    this.#child.stdin.write(bytes);
  }

  /** The next line that it writes, undefined at the end. */
  async line(): Promise<string | undefined> {
    const next = await this.#lines.next();
    return next.done === true ? undefined : next.value;
  }

  /** The next answer. */
  async answer(): Promise<Answer> {
    const line = await this.line();
    if (line === undefined) throw new Error(`The driver ended without an answer: ${this.stderr}`);
    return JSON.parse(line) as Answer;
  }

  /** Sends a request and awaits its answer. */
  async ask(request: unknown): Promise<Answer> {
    this.write(`${JSON.stringify(request)}\n`);
    return this.answer();
  }

  /** Parses a text. */
  async parse(content: string, hints: { language?: string; filename?: string } = {}): Promise<Answer> {
    return this.ask({ content, encoding: 'utf8', ...hints });
  }

  /** Parses the bytes of a file. */
  async parseBytes(bytes: Uint8Array, hints: { language?: string; filename?: string } = {}): Promise<Answer> {
    return this.ask({ content: Buffer.from(bytes).toString('base64'), encoding: 'base64', ...hints });
  }

  /** Closes its stdin. */
  closeInput(): void {
    this.#child.stdin.end();
  }

  /** Closes its stdin and awaits its end. Returns its exit status, null if a signal ended it. */
  async end(): Promise<number | null> {
    this.closeInput();
    const [status] = await this.#exit;
    return status as number | null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGKILL');
      await this.#exit;
    }
  }
}

/**
 * The lines of a stream, as text. readline would not do: it ends a line at U+2028 too, which JSON has in its strings.
 */
async function* lines(stream: Readable): AsyncGenerator<string, undefined> {
  let chunks: Buffer[] = [];
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    let start = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
      chunks.push(chunk.subarray(start, end));
      yield Buffer.concat(chunks).toString('utf8');
      chunks = [];
      start = end + 1;
    }
    chunks.push(chunk.subarray(start));
  }
  if (chunks.some((chunk) => chunk.length > 0)) yield Buffer.concat(chunks).toString('utf8');
  return undefined;
}
