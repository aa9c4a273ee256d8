// Runs the command line as a user does: a process of its own, with its streams and its exit status.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { mainProgram } from './served-host.ts';

export interface Ended {
  /** The exit status, or the signal that ended it. */
  readonly status: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly environment?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** How many files it may have open (RLIMIT_NOFILE). */
  readonly openFiles?: number;
}

const running = new Set<ReturnType<typeof spawn>>();
// A test that fails half way must not leave a host to the others.
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts the program; its streams are the test's to read. */
export function startProgram(
  args: readonly string[],
  { environment = {}, cwd, openFiles }: RunOptions = {},
): ChildProcessByStdio<Writable, Readable, Readable> {
  const limits = openFiles === undefined ? [] : ['prlimit', `--nofile=${openFiles}`];
  const [program = '', ...words] = [...limits, process.execPath, mainProgram, ...args];
  const child = spawn(program, words, {
    stdio: 'pipe',
    env: { ...process.env, ...environment },
    ...(cwd !== undefined && { cwd }),
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
}

/** Runs the program to its end. */
export async function runProgram(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = startProgram(args, options);
  child.stdin.on('error', () => undefined).end(options.input);
  return await collect(child);
}

/** Runs the program on a terminal (a pty that script(1) makes): stdout and stderr are one, in `stdout`. */
export async function runOnTerminal(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const words = [process.execPath, mainProgram, ...args].map((word) => `'${word.replaceAll("'", `'\\''`)}'`);
  const child = spawn(
    'script',
    ['--quiet', '--return', '--command', `stty rows 30 cols 100 && exec ${words.join(' ')}`, '/dev/null'],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      // Without CI: Node takes a terminal there to have no colours.
      env: { ...process.env, CI: undefined, TERM: 'xterm-256color', ...options.environment },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    },
  );
  return await collect(child);
}

/** What a child writes until it ends, and how it ends. */
export async function collect(child: ReturnType<typeof spawn>): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  // Both streams become text: for a child whose stdout another reads, there is statusOf.
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return { status: await statusOf(child), stdout, stderr };
}

/** How a child ends, once its streams are closed. */
export async function statusOf(child: ReturnType<typeof spawn>): Promise<number | NodeJS.Signals> {
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      resolve(code ?? signal ?? 0);
    });
  });
}
