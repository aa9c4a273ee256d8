// The store's lock comes from the process that holds the session's: nothing is started for it, and whatever happens to the
// one costs nobody the other.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { ImageStore } from '../../src/images/index.ts';
import { Lender, startHolder } from '../../src/images/store/lock-holder.ts';
import {
  acquireLendingLock,
  acquireLock,
  prepareLock,
  tryLock,
  type LendingLock,
} from '../../src/images/store/lock.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const options = { timeoutMs: 10_000 };

let folder: string;
let own: string;
let other: string;

beforeEach(async () => {
  folder = await temporaryFolder();
  own = path.join(folder, 'own');
  other = path.join(folder, 'other');
});

/** Processes that this one has started, and those that these have forked, which name `file`. */
async function holders(file: string, parent = process.pid): Promise<number[]> {
  const found: number[] = [];
  const children = await readFile(`/proc/${parent}/task/${parent}/children`, 'latin1').catch(() => '');
  for (const child of children.split(' ').filter(Boolean).map(Number)) {
    const command = await readFile(`/proc/${child}/cmdline`, 'utf8').catch(() => '');
    if (command.split('\0').includes(file)) found.push(child, ...(await holders(file, child)));
  }
  return found;
}

async function isFree(file: string): Promise<boolean> {
  const lock = await tryLock(file);
  await lock?.release();
  return lock !== undefined;
}

function lending(): Promise<LendingLock> {
  return acquireLendingLock(own, { path: other, folder }, options);
}

describe('a lock that is lent', () => {
  it('is held until it is released, and takes no process to be started', async () => {
    await using first = await lending();
    const [holder] = await holders(own);
    for (let round = 0; round < 3; round += 1) {
      await using lock = await acquireLock(other, options, first.lender);
      expect(await isFree(other)).toBe(false);
      const [same, child, ...rest] = await holders(other);
      expect([same, typeof child, rest]).toEqual([holder, 'number', []]);
      await lock.release();
      expect(await isFree(other)).toBe(true);
    }
    await using prepared = prepareLock(other, folder, first.lender);
    expect(await isFree(other)).toBe(true);
    await using lock = await prepared.acquire(options);
    expect(await isFree(other)).toBe(false);
    expect(await holders(other)).toHaveLength(2);
    await lock.release();
    expect([await holders(other), await isFree(own)]).toEqual([[holder], false]);
  });

  it('keeps out another user in this process, who has a process started and waits', async () => {
    await using first = await lending();
    const lock = await acquireLock(other, options, first.lender);
    await expect(acquireLock(other, { timeoutMs: 50 }, first.lender)).rejects.toMatchObject({ kind: 'timeout' });
    const waiting = acquireLock(other, options, first.lender);
    await lock.release();
    await using second = await waiting;
    expect(await isFree(other)).toBe(false);
    await second.release();
    expect(await isFree(other)).toBe(true);
  });

  it('can be waited for in vain, or not be wanted, which costs nothing', async () => {
    await using first = await lending();
    const stranger = await acquireLock(other, options);
    await expect(acquireLock(other, { timeoutMs: 50 }, first.lender)).rejects.toMatchObject({ kind: 'timeout' });
    const cancelling = new AbortController();
    const cancelled = acquireLock(other, { ...options, signal: cancelling.signal }, first.lender);
    cancelling.abort(new Error('cancelled'));
    await expect(cancelled).rejects.toThrow('cancelled');
    {
      // eslint-disable-next-line @typescript-eslint/no-unused-vars -- disposed of at the end of the block
      await using _unwanted = prepareLock(other, folder, first.lender);
    }
    expect(await isFree(own)).toBe(false);
    const waiting = acquireLock(other, options, first.lender);
    await stranger.release();
    await using lock = await waiting;
    expect(await isFree(other)).toBe(false);
    await lock.release();
  });

  it('says what is wrong, which is not the disk, and is there for the next', async () => {
    const missing = path.join(folder, 'missing');
    await using first = await acquireLendingLock(own, { path: other, folder: missing }, options);
    await using prepared = prepareLock(other, missing, first.lender);
    await expect(prepared.acquire(options)).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/missing.*ENOENT/) as unknown,
    });
    await using lock = await acquireLock(other, options, first.lender);
    expect(await isFree(other)).toBe(false);
    await lock.release();
  });

  it('ends when who has it is killed, and is lent again', async () => {
    await using first = await lending();
    const lock = await acquireLock(other, options, first.lender);
    const [, child] = await holders(other);
    process.kill(child ?? NaN, 'SIGKILL');
    await lock.ended;
    expect([await isFree(own), await isFree(other)]).toEqual([false, true]);
    await using next = await acquireLock(other, options, first.lender);
    // The one that ended is nobody's to let go of any more.
    await lock.release();
    expect(await isFree(other)).toBe(false);
    await next.release();
  });

  it('ends with the lock whose holder lends it, as does waiting for it; then it is taken without', async () => {
    const first = await lending();
    const lock = await acquireLock(other, options, first.lender);
    process.kill((await holders(own))[0] ?? NaN, 'SIGKILL');
    await Promise.all([first.ended, lock.ended]);
    expect(await isFree(own)).toBe(true);
    await using next = await acquireLock(other, options, first.lender);
    expect(await isFree(other)).toBe(false);
    await next.release();

    await using second = await lending();
    const stranger = await acquireLock(other, options);
    const waiting = expect(acquireLock(other, options, second.lender)).rejects.toMatchObject({
      kind: 'containerFailed',
    });
    process.kill((await holders(own))[0] ?? NaN, 'SIGKILL');
    await waiting;
    await stranger.release();
  });

  it('is told of a holder that could not be started', async () => {
    const lender = new Lender(startHolder(['--try', path.join(folder, 'missing', 'lock')]));
    const lent = lender.lend('lock');
    await lent?.ended;
    expect(lent?.complaint()).toMatch(/missing.*ENOENT/);
    expect(lender.lend('lock')).toBe(undefined);
  });
});

describe("a store's session whose holder is killed", () => {
  it('is taken again, and the store can be changed', async () => {
    const root = path.join(folder, 'store');
    await using store = await ImageStore.open(root);
    const [session = ''] = await readdir(path.join(root, 'sessions'));
    const file = path.join(root, 'sessions', session);
    for (let round = 0; round < 3; round += 1) {
      const [holder, ...rest] = await holders(file);
      expect(rest).toEqual([]);
      process.kill(holder ?? NaN, 'SIGKILL');
      await expect.poll(() => holders(file)).not.toContain(holder);
      await store.prepareToLease();
      await store.prune();
      expect(await isFree(file)).toBe(false);
      expect(await holders(file)).toHaveLength(1);
    }
  });
});
