// Running the bootstrap so that one of its system calls fails (strace --inject), for each call that it makes in turn.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Duplex, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { bootstrapPath } from '../../src/base/native.ts';

export const native = fileURLToPath(new URL('../../native', import.meta.url));

/** Calls of ours; those that the C library makes before main are not. */
const calls = [
  'accept4',
  'bind',
  'chdir',
  'chmod',
  'clone',
  'close_range',
  'dup2',
  'dup3',
  'execve',
  'execveat',
  'fchdir',
  'fchmod',
  'fchown',
  'fcntl',
  'flock',
  'fstat',
  'getdents64',
  'listen',
  'lseek',
  'memfd_create',
  'mkdir',
  'mkdirat',
  'mount',
  'newfstatat',
  'openat',
  'openat2',
  'pidfd_open',
  'pidfd_send_signal',
  'pipe2',
  'poll',
  'prctl',
  'pread64',
  'read',
  'readlinkat',
  'recvfrom',
  'rename',
  'renameat2',
  'rt_sigaction',
  'rt_sigprocmask',
  'sched_getaffinity',
  'sendfile',
  'setgroups',
  'setns',
  'setresgid',
  'setresuid',
  'setsid',
  'signalfd4',
  'socket',
  'statfs',
  'syncfs',
  'unlink',
  'unlinkat',
  'unshare',
  'vfork',
  'wait4',
  'write',
];

/** Longer than any scenario takes; one that hangs is told by its status. */
export const patienceMs = 5000;
export const hung = { timeout: patienceMs, killSignal: 'SIGKILL' } as const;

/** Without ptrace's place taken, the leak checker of the sanitizers cannot work; nothing is allocated for long here. */
export const environment = { ...process.env, ASAN_OPTIONS: 'detect_leaks=0' };

/**
 * A build with the sanitizers is only run: its dynamic loader and the sanitizers make calls of their own, and faults in
 * those are not ours.
 */
export const sanitized = bootstrapPath().includes('/sanitized/');

export interface Result {
  readonly status: number | null;
  /** What it wrote to stderr. */
  readonly complaint: string;
  /** What it wrote to whoever asked it. */
  readonly answer?: string;
}

/** Does something with a program of ours, whose command line begins with `command`. */
export type Scenario = (command: [string, ...string[]]) => Promise<Result>;

export interface Fault {
  readonly call: string;
  /** The how manieth of these calls fails, in each process. */
  readonly when: number;
}

export interface Traced {
  /** The bootstrap, if it is not given. */
  readonly program?: string;
  readonly traceable?: readonly string[];
}

/** Runs a scenario in which `fault` is injected as ENOMEM; and how often each call of `traceable` was made. */
export async function trace(
  scenario: Scenario,
  log: string,
  fault?: Fault,
  { program = bootstrapPath(), traceable = calls }: Traced = {},
): Promise<Result & { counts: ReadonlyMap<string, number> }> {
  const inject = fault === undefined ? [] : ['-e', `inject=${fault.call}:error=ENOMEM:when=${fault.when}`];
  const traced = ['-f', '-qq', '-o', log, '-e', `trace=${traceable.join(',')}`];
  const result = await scenario(['strace', ...traced, ...inject, program]);
  const counts = new Map<string, number>();
  const perProcess = new Map<string, number>();
  for (const line of (await readFile(log, 'utf8')).split('\n')) {
    // strace counts the calls of each process by itself.
    const [, process, call] = /^(\d+) +(\w+)\(/.exec(line) ?? [];
    if (process === undefined || call === undefined) continue;
    const count = (perProcess.get(`${process} ${call}`) ?? 0) + 1;
    perProcess.set(`${process} ${call}`, count);
    counts.set(call, Math.max(count, counts.get(call) ?? 0));
  }
  return { ...result, counts };
}

/** Each call of a run without faults, once for each time that it was made, a dozen times at the most. */
export async function faultsOf(scenario: Scenario, log: string, traced: Traced = {}): Promise<Fault[]> {
  if (sanitized) {
    expect(await scenario(['env', traced.program ?? bootstrapPath()])).toMatchObject({ status: 0, complaint: '' });
    return [];
  }
  const { status, complaint, counts } = await trace(scenario, log, undefined, traced);
  expect(complaint).toBe('');
  expect(status).toBe(0);
  return [...counts].flatMap(([call, count]) =>
    Array.from({ length: Math.min(count, 12) }, (_, index) => ({ call, when: index + 1 })),
  );
}

/** Runs a command to its end with `input` as its stdin. */
export async function runWith(command: readonly string[], input: string): Promise<Result> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment, ...hung });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const [complaint, answer] = [text(child.stderr), text(child.stdout)];
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, complaint: await complaint, answer: await answer };
}

/** Runs a command whose stdin ends when it has answered something. */
export async function runUntilAnswered(command: readonly string[]): Promise<Result> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment, ...hung });
  child.stdin.on('error', () => undefined);
  child.stdout.once('data', () => child.stdin.end());
  const [complaint, answer] = [text(child.stderr), text(child.stdout)];
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, complaint: await complaint, answer: await answer };
}

/** Runs a command to its end with nothing on its stdin, which does not end either for whoever only watches it. */
export async function runQuietly(command: readonly string[], timeout = patienceMs): Promise<Result> {
  const [program = '', ...args] = command;
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: environment, ...hung, timeout });
  const [complaint, answer] = [text(child.stderr), text(child.stdout)];
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, complaint: await complaint, answer: await answer };
}

/** Everything that comes from a stream until its end, or until it breaks. */
export async function allOf(stream: Readable | Duplex): Promise<string> {
  let all = '';
  stream.setEncoding('utf8').on('data', (chunk: string) => {
    all += chunk;
  });
  // A reset connection ends like any other.
  stream.on('error', () => undefined);
  await new Promise((resolve) => stream.once('close', resolve));
  return all;
}

/** Processes, but for strace itself, with `word` in their command lines. */
export async function processesNaming(word: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(path.join('/proc', pid, 'cmdline'), 'utf8').catch(() => '');
    if (command.includes(word) && !command.includes('strace')) found.push(`${pid} ${command}`);
  }
  return found;
}
