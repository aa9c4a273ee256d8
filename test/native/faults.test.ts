// Every system call that the bootstrap makes for containers fails in turn: it says which step failed and why, exits with
// a status of its own, and leaves nothing: or what it could not remove, the next guard does.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstat, mkdtemp, mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { identifySocket, noteSocket } from '../../src/container/guard/socket-cleanup.ts';
import { systemErrorCode } from '../../src/base/errors.ts';
import { bootstrapPath, initProgramPath } from '../../src/base/native.ts';
import { environment, faultsOf, hung, processesNaming, sanitized, trace, type Scenario } from './tracing.ts';

let folder: string;
let directory: string;
let log: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-faults-'));
  directory = path.join(folder, 'hosts');
  log = path.join(folder, 'trace');
  await mkdir(directory);
});

afterEach(async () => {
  expect(await processesNaming(folder)).toEqual([]);
  await rm(folder, { recursive: true });
});

const guardArguments = () => [
  ...['guard', '--directory', directory, '--name', 'host', '--stage', '/mnt'],
  ...['--init', initProgramPath(), '--runtime', '/bin/true'],
];

const isThere = (file: string) =>
  lstat(file).then(
    () => true,
    () => false,
  );

/** A guard whose host listens at a socket, and that is asked to end as soon as it is ready. It removes the socket, or complains. */
const guardScenario: Scenario = async (command) => {
  const socket = path.join(folder, 'socket');
  const server = createServer().listen(socket);
  await once(server, 'listening');
  const [program, ...args] = [...command, ...guardArguments()];
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment, ...hung });
  child.stdin.on('error', () => undefined);
  child.stdout.on('data', (chunk: Buffer) => {
    if (!chunk.includes('ready')) return;
    // One that failed before it left its folder, which this guard has taken over: hosts' names are no other's, this one is.
    rmSync(path.join(directory, 'host', 'listened'), { force: true });
    try {
      noteSocket(path.join(directory, 'host'), identifySocket(socket));
    } catch (error) {
      // One whose waiting for us fails has removed its folder by now, and cannot know of the socket.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      rmSync(socket);
    }
    child.stdin.end();
  });
  const complaint = text(child.stderr);
  const [status] = (await once(child, 'close')) as [number | null];
  const left = await isThere(socket);
  server.close();
  await once(server, 'close');
  const result = { status, complaint: await complaint };
  if (result.status === 0 && result.complaint === '') expect(left).toBe(false);
  return result;
};

/** An init, outside any container, whose command ends at once. */
const initScenario: Scenario = async (command) => {
  const [program, ...args] = [...command, '--', '/bin/true'];
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
    const faults = await faultsOf(guardScenario, log);
    if (!sanitized) expect(faults.length).toBeGreaterThan(60);
    for (const fault of faults) {
      const { status, complaint } = await trace(guardScenario, log, fault);
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

describe('a program that is run beside containers, whose bootstrap’s system calls fail', () => {
  it('is told of, and does not go on alone', async () => {
    const guard = spawn(bootstrapPath(), guardArguments(), { stdio: ['pipe', 'pipe', 'inherit'], env: environment });
    const lines = (await once(guard.stdout, 'data')) as [Buffer];
    const pid = /^guard (\d+)$/m.exec(lines.toString())?.[1] ?? '';
    if (!lines.toString().includes('ready')) await once(guard.stdout, 'data');
    const processFolder = await open(`/proc/${pid}`, 'r');
    const scenario: Scenario = async (command) => {
      const [program, ...args] = [...command, 'run', '--', '/bin/true'];
      const child = spawn(program, args, {
        stdio: ['ignore', 'ignore', 'pipe', processFolder.fd, 'pipe'],
        env: environment,
        ...hung,
      });
      const lifeline = child.stdio[4] as Duplex;
      lifeline.on('error', () => undefined).resume();
      const complaint = text(child.stderr as Duplex);
      const [status] = (await once(child, 'exit')) as [number | null];
      lifeline.destroy();
      return { status, complaint: await complaint };
    };
    try {
      const faults = await faultsOf(scenario, log);
      if (!sanitized) expect(faults.length).toBeGreaterThan(12);
      for (const fault of faults) {
        const { status, complaint } = await trace(scenario, log, fault);
        const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}`;
        expect(status, where).not.toBe(null);
        // What fails in the program itself is not ours to explain.
        if (status !== 0) expect(complaint, where).toMatch(/^bootstrap: .*\(ENOMEM\)|true: |^$/);
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
    const program = initProgramPath();
    for (const fault of await faultsOf(initScenario, log, { program })) {
      const { status, complaint } = await trace(initScenario, log, fault, { program });
      const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}`;
      expect(status, where).not.toBe(null);
      expect(complaint, where).not.toMatch(/Sanitizer/);
      if (status === 1) expect(complaint, where).toMatch(/^init: .*\(ENOMEM\)|true: |^$/);
    }
  });
});
