// A process's presence in a store: told to others while its lock is held, and taken again when its lock process is killed.
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { ImageStore } from '../../src/images/index.ts';
import { acquireLock, tryLock, type Lock } from '../../src/images/store/lock.ts';
import { hasEnded, ownIdentity } from '../../src/images/store/process-identity.ts';
import { file, tar } from './support/archives.ts';
import { layoutWith } from './support/layouts.ts';
import { leftovers, own } from './support/stores.ts';
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

describe('what a killed process leaves', () => {
  const program = fileURLToPath(new URL('support/store-process.ts', import.meta.url));

  it('is swept by the next open, though nothing of it but the kernel can end its lock process', async () => {
    const scratch = await temporaryFolder();
    const root = path.join(scratch, 'store');
    const { path: layout } = await layoutWith(path.join(scratch, 'layout'), [{ archive: tar(file('a')) }], {
      name: 'x',
    });
    const child = spawn(process.execPath, [program, root, `oci:${layout}:x`], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout });
    for await (const line of lines) if (line === 'done') break;
    child.stdout.resume();
    const [session = ''] = await readdir(path.join(root, 'sessions'));
    const [locking, ...rest] = await lockProcesses(path.join(root, 'sessions', session));
    expect(rest).toEqual([]);
    // It will not see that its stdin ends.
    process.kill(locking ?? NaN, 'SIGSTOP');
    await mkdir(path.join(root, 'tmp', `${session}.99`));
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
    await (await ImageStore.open(root, own))[Symbol.asyncDispose]();
    expect(await leftovers(root)).toEqual([]);
  });

  /** A session of a process with this identity, with work in progress. Its lock is ours. */
  async function sessionOf(root: string, identity: string): Promise<{ session: string; lock: Lock }> {
    await (await ImageStore.open(root))[Symbol.asyncDispose]();
    const session = `${randomUUID()}_${identity}`;
    await mkdir(path.join(root, 'tmp', `${session}.1`));
    return { session, lock: await acquireLock(path.join(root, 'sessions', session), { timeoutMs: 10_000 }) };
  }

  it('is swept once its lock process is gone, however long that takes on a busy machine', async () => {
    const root = path.join(await temporaryFolder(), 'store');
    const { lock } = await sessionOf(root, await identityOfEnded());
    const opened = ImageStore.open(root);
    // Longer than a second, which was too short.
    const ended = sleep(2000, 'the time is over');
    expect(await Promise.race([opened, ended])).toBe('the time is over');
    expect(await readdir(path.join(root, 'sessions'))).toHaveLength(1);
    await lock.release();
    await (await opened)[Symbol.asyncDispose]();
    expect(await leftovers(root)).toEqual([]);
  });

  it('is not waited for where the process may live out of sight', async () => {
    const root = path.join(await temporaryFolder(), 'store');
    const elsewhere = (await identityOfEnded()).replace(/\d+$/, '1');
    const { session, lock } = await sessionOf(root, elsewhere);
    await (await ImageStore.open(root))[Symbol.asyncDispose]();
    expect(await leftovers(root)).toEqual([`sessions/${session}`, `tmp/${session}.1`]);
    await lock.release();
    await (await ImageStore.open(root))[Symbol.asyncDispose]();
    expect(await leftovers(root)).toEqual([]);
  });
});

describe('the identity of a process', () => {
  it('tells that it has ended, and not before', async () => {
    expect(hasEnded(ownIdentity())).toBe(false);
    expect(hasEnded(await identityOfEnded())).toBe(true);
    const { child, identity } = await living();
    expect(hasEnded(identity)).toBe(false);
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
    expect(hasEnded(identity)).toBe(true);
  });

  it('is not that of another process that has its id by now', () => {
    const [pid, began, namespace] = ownIdentity().split('_');
    expect(hasEnded([pid, Number(began) - 1, namespace].join('_'))).toBe(true);
  });

  it('tells nothing of a process elsewhere, or without one', () => {
    const [pid, began] = ownIdentity().split('_');
    for (const identity of [`${pid ?? ''}_${began ?? ''}_1`, '999999999_1_1', '999999999', '', '_', 'x_1_1']) {
      expect(hasEnded(identity), identity).toBe(false);
    }
  });

  it('is that of a dead process while nobody has waited for it', async () => {
    const { child, identity } = await living();
    // Its parent is stopped, and so cannot.
    const parent = spawn('sh', [
      '-c',
      `"$0" -e "$1" & echo $!; kill -STOP $$`,
      process.execPath,
      'setInterval(() => 0, 1000)',
    ]);
    onTestFinished(() => {
      parent.kill('SIGKILL');
    });
    child.kill('SIGKILL');
    const [pid] = ((await once(parent.stdout, 'data')) as [Buffer]).map((line) => Number(line.toString()));
    const stat = async () => (await readFile(`/proc/${pid ?? ''}/stat`, 'latin1')).replace(/^.*\) /s, '').split(' ');
    const began = (await stat())[19] ?? '';
    const ofZombie = identity.replace(/^\d+_\d+/, `${pid ?? ''}_${began}`);
    await expect
      .poll(async () => (await readFile(`/proc/${parent.pid ?? ''}/stat`, 'latin1')).includes(') T '))
      .toBe(true);
    expect(hasEnded(ofZombie)).toBe(false);
    process.kill(pid ?? NaN, 'SIGKILL');
    await expect.poll(async () => (await stat())[0]).toBe('Z');
    expect(hasEnded(ofZombie)).toBe(true);
  });
});

/** A process that lives, with its identity. */
async function living(): Promise<{ child: ChildProcess; identity: string }> {
  const file = fileURLToPath(new URL('../../src/images/store/process-identity.ts', import.meta.url));
  const code = `import(${JSON.stringify(file)}).then((it) => console.log(it.ownIdentity())); setInterval(() => 0, 1000);`;
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, identity: line.toString().trim() };
}

async function identityOfEnded(): Promise<string> {
  const { child, identity } = await living();
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
  return identity;
}

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
