// Opening a store beside living processes must not try their locks, each of which takes a process of its own, and must
// never take a lock for held that is not.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ImageStore } from '../../src/images/index.ts';
import { childHolds, lockName, parseLocks } from '../../src/images/store/held-locks.ts';
import { acquireLock } from '../../src/images/store/lock.ts';

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

describe('a store that another process uses', () => {
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
