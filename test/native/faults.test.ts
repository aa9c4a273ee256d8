// Every system call that the bootstrap makes fails in turn (strace --inject): it says which step failed and why, exits
// with a status of its own, and leaves nothing: or what it could not remove, the next guard does.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootstrapPath } from '../../src/native.ts';

const native = fileURLToPath(new URL('../../native', import.meta.url));

let folder: string;
let directory: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-faults-'));
  directory = path.join(folder, 'hosts');
  await mkdir(directory);
});

afterEach(async () => {
  expect(await processesNaming(folder)).toEqual([]);
  await rm(folder, { recursive: true });
});

async function processesNaming(word: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.includes(word) && !command.includes('strace')) found.push(`${pid} ${command}`);
  }
  return found;
}

/** Calls of ours; those that the C library makes before main are not. */
const calls = [
  'chdir',
  'clone',
  'close_range',
  'dup3',
  'execve',
  'fcntl',
  'flock',
  'fstat',
  'getdents64',
  'mkdirat',
  'mount',
  'newfstatat',
  'openat',
  'pidfd_open',
  'pipe2',
  'poll',
  'prctl',
  'read',
  'rt_sigaction',
  'rt_sigprocmask',
  'sendfile',
  'setns',
  'setresgid',
  'setresuid',
  'setsid',
  'signalfd4',
  'statfs',
  'unlinkat',
  'unshare',
  'wait4',
  'write',
];

interface Outcome {
  readonly status: number | null;
  readonly complaint: string;
  /** How often each call was made. */
  readonly counts: ReadonlyMap<string, number>;
}

/** Longer than any scenario takes; one that hangs is told by its status. */
const patienceMs = 5000;
const hung = { timeout: patienceMs, killSignal: 'SIGKILL' } as const;

type Scenario = (command: [string, ...string[]]) => Promise<{ status: number | null; complaint: string }>;

/** Executes a scenario under strace, in which the `when`-th call named `fault` fails with ENOMEM. */
async function trace(scenario: Scenario, fault?: { call: string; when: number }): Promise<Outcome> {
  const log = path.join(folder, 'trace');
  const inject = fault === undefined ? [] : ['-e', `inject=${fault.call}:error=ENOMEM:when=${fault.when}`];
  const command: [string, ...string[]] = [
    'strace',
    '-f',
    '-qq',
    '-o',
    log,
    '-e',
    `trace=${calls.join(',')}`,
    ...inject,
    bootstrapPath(),
  ];
  const { status, complaint } = await scenario(command);
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
  return { status, complaint, counts };
}

/** Without ptrace's place taken, the leak checker of the sanitizers cannot work; nothing is allocated for long here. */
const environment = { ...process.env, ASAN_OPTIONS: 'detect_leaks=0' };

/**
 * A build with the sanitizers is only run: its dynamic loader and the sanitizers make calls of their own, and faults in
 * those are not ours.
 */
const sanitized = bootstrapPath().endsWith('-sanitized');

/** Each call of a run without faults, once for each time that it was made. */
async function faultsOf(scenario: Scenario): Promise<{ call: string; when: number }[]> {
  if (sanitized) {
    expect(await scenario(['env', bootstrapPath()])).toEqual({ status: 0, complaint: '' });
    return [];
  }
  const { status, complaint, counts } = await trace(scenario);
  expect(complaint).toBe('');
  expect(status).toBe(0);
  return [...counts].flatMap(([call, count]) =>
    Array.from({ length: Math.min(count, 12) }, (_, index) => ({ call, when: index + 1 })),
  );
}

/** A guard that is asked to end as soon as it is ready. */
const guardScenario: Scenario = async (command) => {
  const [program, ...args] = [...command, 'guard', '--directory', directory, '--name', 'host', '--stage', '/mnt'];
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment, ...hung });
  child.stdin.on('error', () => undefined);
  child.stdout.on('data', (chunk: Buffer) => {
    if (chunk.includes('ready')) child.stdin.end();
  });
  const complaint = text(child.stderr);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, complaint: await complaint };
};

/** An init, outside any container, whose command ends at once. */
const initScenario: Scenario = async (command) => {
  const [program, ...args] = [...command, 'init', '--', '/bin/true'];
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe'], env: environment, ...hung });
  const control = child.stdio[3] as Duplex;
  control.on('error', () => undefined).resume();
  const complaint = text(child.stderr as Duplex);
  const [status] = (await once(child, 'exit')) as [number | null];
  control.destroy();
  return { status, complaint: await complaint };
};

describe('a guard whose system calls fail', () => {
  it('says so, ends, and leaves nothing that the next guard would not remove', async () => {
    await mkdir(path.join(directory, 'dead'));
    const faults = await faultsOf(guardScenario);
    if (!sanitized) expect(faults.length).toBeGreaterThan(40);
    for (const fault of faults) {
      const { status, complaint } = await trace(guardScenario, fault);
      const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}`;
      expect(status, where).not.toBe(null);
      expect(await processesNaming(directory), where).toEqual([]);
      if (status !== 0 && status !== 137) expect(complaint, where).toMatch(/^bootstrap: .*\n/);
      expect(complaint, where).not.toMatch(/Sanitizer/);
      const mounts = await readFile('/proc/self/mountinfo', 'utf8');
      expect(mounts, where).not.toContain(directory);
      if ((await readdir(directory)).length > 0) {
        expect(await guardScenario([bootstrapPath()])).toEqual({ status: 0, complaint: '' });
        expect(await readdir(directory), where).toEqual([]);
      }
    }
  });
});

describe('a start whose system calls fail', () => {
  it('says so, and ends what it has started', async () => {
    const guard = spawn(bootstrapPath(), ['guard', '--directory', directory, '--name', 'host', '--stage', '/mnt'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: environment,
    });
    const lines = (await once(guard.stdout, 'data')) as [Buffer];
    const pid = /^guard (\d+)$/m.exec(lines.toString())?.[1] ?? '';
    if (!lines.toString().includes('ready')) await once(guard.stdout, 'data');
    const processFolder = await open(`/proc/${pid}`, 'r');
    const rootfs = path.join(folder, 'rootfs');
    const pidFile = path.join(folder, 'pid');
    await mkdir(rootfs);
    // Does what a runtime does: leaves a process behind that has the pipes, and writes its id.
    const runtime = ['/bin/sh', '-c', 'sleep 0.01 & echo $! > "$0"', pidFile];
    const scenario: Scenario = async (command) => {
      const [program, ...args] = [...command, 'run', '--stage', '/mnt', '--rootfs', rootfs, '--pid-file', pidFile];
      const child = spawn(program, [...args, '--', ...runtime], {
        stdio: ['ignore', 'ignore', 'pipe', processFolder.fd, 'pipe', 'pipe', 'pipe', 'pipe'],
        env: environment,
        ...hung,
      });
      for (const stream of child.stdio.slice(4)) (stream as Duplex).on('error', () => undefined).resume();
      const complaint = text(child.stderr as Duplex);
      const [status] = (await once(child, 'exit')) as [number | null];
      for (const stream of child.stdio.slice(4)) (stream as Duplex).destroy();
      return { status, complaint: await complaint };
    };
    try {
      const faults = (await faultsOf(scenario)).filter(
        ({ call }) => !['fcntl', 'rt_sigaction', 'clone'].includes(call),
      );
      if (!sanitized) expect(faults.length).toBeGreaterThan(20);
      for (const fault of faults) {
        const { status, complaint } = await trace(scenario, fault);
        const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}`;
        expect(status, where).not.toBe(null);
        expect(complaint, where).not.toMatch(/Sanitizer/);
        // What fails in the shell that plays the runtime is not ours to explain.
        if (status === 1 && fault.call !== 'write') expect(complaint, where).toMatch(/^bootstrap: .*\(ENOMEM\)/);
      }
    } finally {
      const ended = once(guard, 'exit');
      guard.stdin.end();
      await ended;
      await processFolder.close();
    }
  });
});

describe('an init whose system calls fail', () => {
  it('says so, or lets its command end', async () => {
    for (const fault of await faultsOf(initScenario)) {
      const { status, complaint } = await trace(initScenario, fault);
      const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}`;
      expect(status, where).not.toBe(null);
      expect(complaint, where).not.toMatch(/Sanitizer/);
      if (status === 1) expect(complaint, where).toMatch(/^bootstrap: .*\(ENOMEM\)|true: |^$/);
    }
  });
});

describe('the bootstrap', () => {
  it('makes no error that valgrind knows', async () => {
    // Built anew: valgrind knows neither the sanitizers nor a static C library.
    const program = path.join(folder, 'bootstrap');
    const sources = (await readdir(native))
      .filter((name) => name.endsWith('.c'))
      .map((name) => path.join(native, name));
    await promisify(execFile)('cc', ['-g', '-O1', '-o', program, ...sources]);
    const valgrind: [string, ...string[]] = ['valgrind', '-q', '--error-exitcode=99', program];
    // Not guard and run: valgrind does not know pidfd_open.
    expect(await initScenario(valgrind)).toEqual({ status: 0, complaint: '' });
    const [command, ...args] = [...valgrind, 'lock', path.join(folder, 'lock')];
    const lock = promisify(execFile)(command, args, { timeout: patienceMs });
    lock.child.stdin?.end();
    const { stdout, stderr } = await lock;
    expect({ stdout, stderr }).toEqual({ stdout: 'locked\n', stderr: '' });
  });

  it.each([
    [['guard'], /guard needs --directory/],
    [['guard', '--directory'], /--directory needs a value/],
    [['guard', '--uids', '5'], /a range of ids is FIRST:COUNT/],
    [['guard', '--magic', 'x'], /does not know the option --magic/],
    [['run'], /run needs --/],
    [['run', '--'], /runtime's command line/],
    [['run', '--rootfs', '/x', '--', 'runc'], /go together/],
    [['init', '--'], /init needs --/],
    [['init', '--data', 'much', '--', 'x'], /--data is a number/],
    [['dance'], /usage: bootstrap guard/],
    [[], /usage: bootstrap guard/],
  ])('refuses wrong usage: %j', async (args, message) => {
    const error = (await promisify(execFile)(bootstrapPath(), args).catch((cause: unknown) => cause)) as {
      code: number;
      stderr: string;
    };
    expect(error.code).toBe(2);
    expect(error.stderr).toMatch(message);
  });
});
