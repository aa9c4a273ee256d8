// Every system call that the bootstrap makes for a lock fails in turn: it says which step failed and why, and a lock is not
// granted before what it is to protect is on the disk.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { environment, faultsOf, hung, processesNaming, sanitized, trace, type Scenario } from './tracing.ts';

let folder: string;
let synced: string;
let log: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-lock-faults-'));
  synced = path.join(folder, 'synced');
  log = path.join(folder, 'trace');
  await mkdir(synced);
});

afterEach(async () => {
  expect(await processesNaming(folder)).toEqual([]);
  await rm(folder, { recursive: true });
});

/** A lock that is taken after a sync, and let go as soon as it is held. */
const scenario: Scenario = async (command) => {
  const [program, ...args] = [...command, 'lock', '--after-sync', synced, path.join(folder, 'lock')];
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment, ...hung });
  child.stdin.on('error', () => undefined);
  child.stdin.write('\n');
  let answer = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    answer += piece;
    if (answer.includes('locked')) child.stdin.end();
  });
  const complaint = text(child.stderr);
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, complaint: await complaint, answer };
};

it('a lock whose system calls fail says so, and is not granted before the sync', async () => {
  const faults = await faultsOf(scenario, log);
  if (!sanitized) expect(faults).toContainEqual({ call: 'syncfs', when: 1 });
  for (const fault of faults) {
    const { status, complaint, answer } = await trace(scenario, log, fault);
    const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}`;
    expect(status, where).not.toBe(null);
    expect(await processesNaming(folder), where).toEqual([]);
    expect(['', 'synced\n', 'synced\nlocked\n'], where).toContain(answer);
    if (fault.call === 'syncfs') expect(answer, where).toBe('');
    if (status !== 0) expect(complaint, where).toMatch(/^bootstrap: .*\(ENOMEM\)/);
    expect(complaint, where).not.toMatch(/Sanitizer/);
  }
});

it('a lock whose files cannot be closed says so, and is not held by whoever could not', async () => {
  const faults = await faultsOf(scenario, log, { traceable: ['close'] });
  if (!sanitized) expect(faults.length).toBeGreaterThan(0);
  for (const fault of faults) {
    const { status, complaint, answer } = await trace(scenario, log, fault, { traceable: ['close'] });
    const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}`;
    expect(status, where).toBe(1);
    expect(complaint, where).toMatch(/^bootstrap: cannot close .*\(ENOMEM\)/);
    expect(answer, where).not.toContain('locked');
  }
});
