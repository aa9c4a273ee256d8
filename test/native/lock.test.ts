// The bootstrap's lock: flock(2) held for as long as somebody holds the other end of stdin.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootstrapPath } from '../../src/base/native.ts';
import { patienceMs } from './tracing.ts';

let folder: string;
let children: ChildProcess[];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-lock-'));
  children = [];
});

afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

/** Waits until a process is blocked that wants the lock on `file` (proc_locks(5)). */
async function somebodyWaitsFor(file: string): Promise<void> {
  const { ino } = await stat(file);
  for (const began = performance.now(); performance.now() - began < patienceMs;) {
    const locks = await readFile('/proc/locks', 'utf8');
    if (locks.split('\n').some((line) => line.includes('->') && line.includes(`:${ino} `))) return;
  }
  throw new Error(`Nobody waits for the lock on ${file}.`);
}

function lock(...args: string[]) {
  const child = spawn(bootstrapPath(), ['lock', ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  children.push(child);
  let locked = false;
  const granted = new Promise<void>((resolve) => {
    child.stdout.once('data', (line: Buffer) => {
      expect(line.toString()).toBe('locked\n');
      locked = true;
      resolve();
    });
  });
  const complaint = text(child.stderr);
  return {
    child,
    granted,
    complaint,
    isLocked: () => locked,
    async end() {
      child.stdin.end();
      if (child.exitCode === null) await once(child, 'exit');
      return child.exitCode;
    },
  };
}

describe('bootstrap lock', () => {
  it('makes the file, keeps others out until stdin ends, then lets the next one in', async () => {
    const file = path.join(folder, 'lock');
    const first = lock(file);
    await first.granted;
    expect(await readdir(folder)).toEqual(['lock']);
    const second = lock(file);
    await somebodyWaitsFor(path.join(folder, 'lock'));
    expect(second.isLocked()).toBe(false);
    expect(await first.end()).toBe(0);
    await second.granted;
    expect(await second.end()).toBe(0);
  });

  it('locks a folder', async () => {
    const holder = lock(folder);
    await holder.granted;
    expect(await holder.end()).toBe(0);
  });

  it('gives the lock up when it is killed', async () => {
    const file = path.join(folder, 'lock');
    const first = lock(file);
    await first.granted;
    const second = lock(file);
    await somebodyWaitsFor(path.join(folder, 'lock'));
    first.child.kill('SIGKILL');
    await second.granted;
    await second.end();
  });

  it('ends with its parent, though it is stopped and its stdin is open', async () => {
    const file = path.join(folder, 'lock');
    // The parent has its stdin from us, so that it does not end with the parent.
    const parent = spawn('sh', ['-c', '"$0" lock "$1" <&3 & echo $!; wait', bootstrapPath(), file], {
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    });
    children.push(parent);
    let said = '';
    for await (const piece of parent.stdout as AsyncIterable<Buffer>) {
      said += piece.toString();
      if (said.includes('locked\n') && /^\d+$/m.test(said)) break;
    }
    const holder = Number(/^\d+$/m.exec(said)?.[0]);
    const next = lock(file);
    await somebodyWaitsFor(file);
    process.kill(holder, 'SIGSTOP');
    parent.kill('SIGKILL');
    await next.granted;
    expect(await next.end()).toBe(0);
  });

  it('makes no file once its stdin has ended', async () => {
    const closed = spawn('sh', [
      '-c',
      ': | { sleep 0.1; exec "$0" lock "$1"; }',
      bootstrapPath(),
      path.join(folder, 'late'),
    ]);
    expect(await once(closed, 'close')).toEqual([0, null]);
    expect(await readdir(folder)).not.toContain('late');
  });

  it('stops waiting when its stdin ends', async () => {
    const file = path.join(folder, 'lock');
    const first = lock(file);
    await first.granted;
    const second = lock(file);
    await somebodyWaitsFor(path.join(folder, 'lock'));
    expect(await second.end()).toBe(0);
    expect(second.isLocked()).toBe(false);
    await first.end();
  });

  it('locks the file that has the name, where the holder before it replaced the file', async () => {
    const file = path.join(folder, 'lock');
    const first = lock(file);
    await first.granted;
    const second = lock(file);
    await somebodyWaitsFor(path.join(folder, 'lock'));
    await writeFile(`${file}.new`, '');
    await rename(`${file}.new`, file);
    await first.end();
    await second.granted;
    const third = lock(file);
    await somebodyWaitsFor(path.join(folder, 'lock'));
    expect(third.isLocked()).toBe(false);
    await second.end();
    await third.granted;
    await third.end();
  });

  it('syncs a file system when it is asked to, and locks only then', async () => {
    const file = path.join(folder, 'lock');
    const child = spawn(bootstrapPath(), ['lock', '--after-sync', folder, file], { stdio: ['pipe', 'pipe', 'pipe'] });
    children.push(child);
    const said = text(child.stdout);
    // Not locked, nor made, while nobody has asked.
    const other = lock(file);
    await other.granted;
    child.stdin.write('\n');
    await somebodyWaitsFor(path.join(folder, 'lock'));
    await other.end();
    child.stdin.end();
    await once(child, 'close');
    expect(await said).toMatch(/^synced\n(?:locked\n)?$/);

    const unasked = spawn(bootstrapPath(), ['lock', '--after-sync', folder, file], { stdio: ['pipe', 'pipe', 'pipe'] });
    children.push(unasked);
    const nothing = text(unasked.stdout);
    unasked.stdin.end();
    expect(await once(unasked, 'close')).toEqual([0, null]);
    expect(await nothing).toBe('');
  });

  it('says why it cannot lock', async () => {
    const missing = lock(path.join(folder, 'missing', 'lock'));
    expect(await once(missing.child, 'exit')).toEqual([1, null]);
    expect(await missing.complaint).toMatch(/^bootstrap: cannot open .* \(ENOENT\): No such file or directory\n$/);
    const usage = lock();
    expect(await usage.end()).toBe(2);
    expect(await usage.complaint).toBe('bootstrap: usage: bootstrap lock [--try] [--after-sync FOLDER] PATH\n');
  });
});
