// A process's presence in a store: told to others while its lock is held, and taken again when its lock process is killed.
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ImageStore } from '../../src/images/index.ts';
import { tryLock } from '../../src/images/store/lock.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { lockProcesses } from './support/lock-processes.ts';

describe('a store that another process uses', () => {
  it('has a session of ours from our first change on; a failure to start it is not remembered', async () => {
    const folder = await temporaryFolder();
    const sessions = (): Promise<string[]> => readdir(path.join(folder, 'sessions'));
    await (await ImageStore.open(folder))[Symbol.asyncDispose]();
    const store = await ImageStore.open(folder);
    vi.stubEnv('BABELHOST_BOOTSTRAP', path.join(folder, 'missing'));
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    await expect(store.prune()).rejects.toMatchObject({ kind: 'runtimeMissing' });
    expect(await sessions()).toEqual([]);
    vi.unstubAllEnvs();
    await Promise.all([store.prune(), store.prune()]);
    expect(await sessions()).toHaveLength(1);
    await store[Symbol.asyncDispose]();
    expect(await sessions()).toEqual([]);
  });

  it('is opened without taking part in it', async () => {
    const folder = await temporaryFolder();
    const sessions = (): Promise<string[]> => readdir(path.join(folder, 'sessions'));
    // Making the store takes a session, which is kept until the end.
    await using first = await ImageStore.open(folder);
    const before = await sessions();
    expect(before).toHaveLength(1);
    await using second = await ImageStore.open(folder);
    expect(await sessions()).toEqual(before);
    expect(await second.list()).toEqual(await first.list());
  });

  it('is swept all the same of what a dead one left', async () => {
    const folder = await temporaryFolder();
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- held until the end of the block
    await using _living = await ImageStore.open(folder);
    const dead = path.join(folder, 'sessions', '01ARZ3NDEKTSV4RRFFQ69G5FAV');
    // No lock is held on it, and its process is this one, which lives.
    await writeFile(dead, String(process.pid));
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- held until the end of the block
    await using _next = await ImageStore.open(folder);
    expect(await readdir(path.dirname(dead))).not.toContain(path.basename(dead));
  });
});

describe("a store's session whose lock process is killed", () => {
  it('is locked again, and the store can be changed', async () => {
    const root = path.join(await temporaryFolder(), 'store');
    await using store = await ImageStore.open(root);
    const [session = ''] = await readdir(path.join(root, 'sessions'));
    const file = path.join(root, 'sessions', session);
    for (let round = 0; round < 3; round += 1) {
      const [killed, ...rest] = await lockProcesses(file);
      expect(rest).toEqual([]);
      process.kill(killed ?? NaN, 'SIGKILL');
      await expect.poll(() => lockProcesses(file)).not.toContain(killed);
      await store.prune();
      expect(await tryLock(file)).toBe(undefined);
      expect(await lockProcesses(file)).toHaveLength(1);
    }
  });
});
