// Opening a store beside living processes must not try their locks, each of which takes a process of its own, and must
// never take a lock for held that is not.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ImageStore } from '../../src/images/index.ts';
import { childHolds, lockName, parseLocks } from '../../src/images/store/held-locks.ts';
import { acquireLock, prepareLock } from '../../src/images/store/lock.ts';

/** Processes whose command line names `file`. */
async function holders(file: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (command.split('\0').includes(file)) found.push(pid);
  }
  return found;
}

async function makeFolder(): Promise<{ folder: string } & AsyncDisposable> {
  const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-locks-'));
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

describe('locks that are held', () => {
  it('are those of flock(2), not those of other kinds', () => {
    const text = [
      'pos:\t0',
      'lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:11 201 201',
      'lock:\t2: POSIX  ADVISORY  WRITE 9690 fe:00:12 0 EOF',
      'lock:\t3: FLOCK  ADVISORY  WRITE 21525 fe:00:13 0 EOF',
      'lock:\t4: FLOCK  ADVISORY  READ 9641 fe:00:15 0 EOF',
      'lock:\t5: FLOCK  ADVISORY  WRITE 9641 103:10:16 0 EOF',
      '',
    ].join('\n');
    expect([...parseLocks(text)]).toEqual(['254:0:13', '259:16:16']);
  });

  it('are found by their files while they are held, and not afterwards', async () => {
    await using made = await makeFolder();
    const file = path.join(made.folder, 'lock');
    await writeFile(file, '');
    expect(await childHolds(process.pid, await lockName(file))).toBe(false);
    const lock = await acquireLock(file, { timeoutMs: 10_000 });
    expect(await childHolds(process.pid, await lockName(file))).toBe(true);
    expect(await childHolds(process.ppid, await lockName(file))).toBe(false);
    await lock.release();
    expect(await childHolds(process.pid, await lockName(file))).toBe(false);
  });
});

describe('a lock that is prepared', () => {
  it('is held once what was written is on the disk, and by nobody before', async () => {
    await using made = await makeFolder();
    const file = path.join(made.folder, 'lock');
    await writeFile(file, '');
    await using prepared = prepareLock(file, made.folder);
    expect(await childHolds(process.pid, await lockName(file))).toBe(false);
    const lock = await prepared.acquire({ timeoutMs: 10_000 });
    expect(await childHolds(process.pid, await lockName(file))).toBe(true);
    await lock.release();
    expect(await holders(file)).toEqual([]);
  });

  it.each(['is not wanted', 'is wanted when all is cancelled'])('leaves no process when it %s', async (when) => {
    await using made = await makeFolder();
    const file = path.join(made.folder, 'lock');
    {
      await using prepared = prepareLock(file, made.folder);
      expect(await holders(file)).toHaveLength(1);
      if (when !== 'is not wanted') {
        const signal = AbortSignal.abort(new Error('cancelled'));
        await expect(prepared.acquire({ timeoutMs: 10_000, signal })).rejects.toThrow('cancelled');
      }
    }
    expect(await holders(file)).toEqual([]);
  });

  it('is not taken for held when its holder says something else', async () => {
    await using made = await makeFolder();
    const file = path.join(made.folder, 'lock');
    const bootstrap = path.join(made.folder, 'bootstrap');
    await writeFile(bootstrap, '#!/bin/sh\necho locked; cat > /dev/null\n', { mode: 0o755 });
    vi.stubEnv('BABELHOST_BOOTSTRAP', bootstrap);
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    await using prepared = prepareLock(file, made.folder);
    // Not synced before.
    await expect(prepared.acquire({ timeoutMs: 10_000 })).rejects.toThrow(/wrote 'locked'/);
  });

  it('says what is wrong with the folder, which is not the disk', async () => {
    await using made = await makeFolder();
    const prepared = prepareLock(path.join(made.folder, 'lock'), path.join(made.folder, 'nothing'));
    await expect(prepared.acquire({ timeoutMs: 10_000 })).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/nothing.*ENOENT/) as unknown,
    });
  });
});

describe('a store that another process uses', () => {
  it('is told of us before we lease anything, where we say so; what stood in the way is not remembered', async () => {
    await using made = await makeFolder();
    const sessions = (): Promise<string[]> => readdir(path.join(made.folder, 'sessions'));
    await (await ImageStore.open(made.folder))[Symbol.asyncDispose]();
    const store = await ImageStore.open(made.folder);
    vi.stubEnv('BABELHOST_BOOTSTRAP', path.join(made.folder, 'missing'));
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    await expect(store.prepareToLease()).rejects.toMatchObject({ kind: 'runtimeMissing' });
    expect(await sessions()).toEqual([]);
    vi.unstubAllEnvs();
    await Promise.all([store.prepareToLease(), store.prepareToLease()]);
    expect(await sessions()).toHaveLength(1);
    await store[Symbol.asyncDispose]();
    expect(await sessions()).toEqual([]);
  });

  it('is opened without taking part in it', async () => {
    await using made = await makeFolder();
    const sessions = (): Promise<string[]> => readdir(path.join(made.folder, 'sessions'));
    // Making the store takes a session, which is kept until the end.
    await using first = await ImageStore.open(made.folder);
    const before = await sessions();
    expect(before).toHaveLength(1);
    await using second = await ImageStore.open(made.folder);
    expect(await sessions()).toEqual(before);
    expect(await second.list()).toEqual(await first.list());
  });

  it('is swept all the same of what a dead one left', async () => {
    await using made = await makeFolder();
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- held until the end of the block
    await using _living = await ImageStore.open(made.folder);
    const dead = path.join(made.folder, 'sessions', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
    // No lock is held on it, and its process is this one, which lives.
    await writeFile(dead, String(process.pid));
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- held until the end of the block
    await using _next = await ImageStore.open(made.folder);
    expect(await readdir(path.dirname(dead))).not.toContain(path.basename(dead));
  });
});
