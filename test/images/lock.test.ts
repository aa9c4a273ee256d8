// A lock of a store, held by a process of its own: released with that process, waited for no longer than is allowed.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { acquireLock, prepareLock, tryLock } from '../../src/images/store/lock.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { lockProcesses } from './support/lock-processes.ts';

const options = { timeoutMs: 10_000 };

async function isFree(file: string): Promise<boolean> {
  const lock = await tryLock(file);
  await lock?.release();
  return lock !== undefined;
}

describe('a lock', () => {
  it('keeps others out until it is released', async () => {
    const file = path.join(await temporaryFolder(), 'lock');
    const lock = await acquireLock(file, options);
    expect(await isFree(file)).toBe(false);
    const waiting = acquireLock(file, options);
    await lock.release();
    await using second = await waiting;
    expect(await isFree(file)).toBe(false);
    await second.release();
    expect(await isFree(file)).toBe(true);
  });

  it('can be waited for in vain, and be given up, which leaves no process', async () => {
    const file = path.join(await temporaryFolder(), 'lock');
    const lock = await acquireLock(file, options);
    await expect(acquireLock(file, { timeoutMs: 50 })).rejects.toMatchObject({ kind: 'timeout' });
    const cancelling = new AbortController();
    const cancelled = acquireLock(file, { ...options, signal: cancelling.signal });
    cancelling.abort(new Error('cancelled'));
    await expect(cancelled).rejects.toThrow('cancelled');
    expect(await lockProcesses(file)).toHaveLength(1);
    await lock.release();
    expect(await lockProcesses(file)).toEqual([]);
  });

  it('ends when its process is killed', async () => {
    const file = path.join(await temporaryFolder(), 'lock');
    const lock = await acquireLock(file, options);
    process.kill((await lockProcesses(file))[0] ?? NaN, 'SIGKILL');
    await lock.ended;
    await using next = await acquireLock(file, options);
    // The one that ended is nobody's to release any more.
    await lock.release();
    expect(await isFree(file)).toBe(false);
    await next.release();
  });

  it('is told of a process that could not lock', async () => {
    const file = path.join(await temporaryFolder(), 'missing', 'lock');
    await expect(acquireLock(file, options)).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/missing.*ENOENT/) as unknown,
    });
  });
});

describe('a lock that is prepared', () => {
  it('is held once what was written is on the disk, and by nobody before', async () => {
    const folder = await temporaryFolder();
    const file = path.join(folder, 'lock');
    await writeFile(file, '');
    await using prepared = await prepareLock(file, folder);
    expect(await isFree(file)).toBe(true);
    const lock = await prepared.acquire(options);
    expect(await isFree(file)).toBe(false);
    await lock.release();
    expect(await lockProcesses(file)).toEqual([]);
  });

  it.each(['is not wanted', 'is wanted when all is cancelled'])('leaves no process when it %s', async (when) => {
    const folder = await temporaryFolder();
    const file = path.join(folder, 'lock');
    {
      await using prepared = await prepareLock(file, folder);
      expect(await lockProcesses(file)).toHaveLength(1);
      if (when !== 'is not wanted') {
        const signal = AbortSignal.abort(new Error('cancelled'));
        await expect(prepared.acquire({ ...options, signal })).rejects.toThrow('cancelled');
      }
    }
    expect(await lockProcesses(file)).toEqual([]);
  });

  it('is not taken for held when its process says something else', async () => {
    const folder = await temporaryFolder();
    const file = path.join(folder, 'lock');
    const bootstrap = path.join(folder, 'bootstrap');
    await writeFile(bootstrap, '#!/bin/sh\necho locked; cat > /dev/null\n', { mode: 0o755 });
    vi.stubEnv('BABELHOST_BOOTSTRAP', bootstrap);
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    await using prepared = await prepareLock(file, folder);
    // Not synced before.
    await expect(prepared.acquire(options)).rejects.toThrow(/wrote 'locked'/);
  });

  it('says what is wrong with the folder, which is not the disk', async () => {
    const folder = await temporaryFolder();
    const prepared = await prepareLock(path.join(folder, 'lock'), path.join(folder, 'nothing'));
    await expect(prepared.acquire(options)).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/nothing.*ENOENT/) as unknown,
    });
  });
});
