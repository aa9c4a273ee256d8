// Definitions of containers on disk: complete at whatever instant their writer is killed, and safe between hosts.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { ContainerRegistry, ContainerRuntime, type LifecycleLimits } from '../../../src/container/index.ts';
import { makeTemporaryFolder, removeFolder } from '../../support/temporary-folder.ts';

const program = fileURLToPath(new URL('../fixtures/committer.ts', import.meta.url));
const entryPoint = { args: ['/bin/true'], env: {}, cwd: '/', user: '' };

let folder: string;
const opened: AsyncDisposable[] = [];

beforeEach(async () => {
  folder = await makeTemporaryFolder();
});
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]();
  await removeFolder(folder);
});

const definitions = () => path.join(folder, 'definitions');

/** A registry without images: nothing is started in these tests. */
async function openRegistry(limits: Partial<LifecycleLimits> = {}): Promise<ContainerRegistry> {
  const runtime = await ContainerRuntime.open({ directory: path.join(folder, 'hosts') });
  const registry = await ContainerRegistry.open({
    folder: definitions(),
    runtime,
    roots: { lease: () => Promise.reject(new Error('there are no images here')) },
    limits,
  });
  opened.push(runtime, registry);
  return registry;
}

async function create(registry: ContainerRegistry): Promise<string> {
  const { handle } = await registry.create({ image: 'none', entryPoint });
  return (await registry.commit(handle)).id;
}

/** When a process is killed: after this many commits and milliseconds. The first ones are during its first commit. */
const instants = [
  [0, 0],
  [0, 3],
  [0, 8],
  [1, 0],
  [1, 4],
  [2, 1],
  [2, 9],
  [3, 20],
] as const;

/** Runs a process that commits without end, and kills it `delayMs` after it has made `commits`. */
async function killCommitter([commits, delayMs]: (typeof instants)[number], ...args: string[]): Promise<void> {
  const child = spawn(process.execPath, [program, folder, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  let lines = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    // The first line comes before any commit.
    if (line !== '' && lines++ === commits) setTimeout(() => child.kill('SIGKILL'), delayMs);
  }
  await ended;
}

/** Expects that every definition is complete, and that there are no other files. Returns their number. */
async function expectWhole(): Promise<number> {
  const registry = await openRegistry();
  const names = await readdir(definitions()).catch(() => []);
  const containers = await registry.list();
  expect(names.sort()).toEqual(containers.map(({ id }) => id));
  for (const { id, status } of containers) {
    expect(status).toBe('stopped');
    const { entryPoint: entered, pending } = await registry.config(id);
    expect(entered.env['SECOND']).toBe(entered.env['FIRST']);
    const value = entered.env['FIRST'] ?? '';
    const own = path.join(definitions(), id, 'files');
    for (const { name, size } of pending) expect((await readFile(path.join(own, name))).length).toBe(size);
    const last = pending.at(-1);
    if (last !== undefined) expect(await readFile(path.join(own, last.name), 'utf8')).toBe(value.repeat(1000));
    expect((await readdir(path.join(definitions(), id))).filter((name) => name.startsWith('.'))).toEqual([]);
  }
  return containers.length;
}

describe('definitions', () => {
  it('are old or new, never half, when their host is killed while it creates', async () => {
    let most = 0;
    for (const instant of instants) {
      await killCommitter(instant);
      most = Math.max(most, await expectWhole());
    }
    expect(most).toBeGreaterThan(0);
  });

  it('are old or new, never half, when their host is killed while it changes', async () => {
    const id = await create(await openRegistry());
    for (const instant of instants) {
      await killCommitter(instant, id);
      await expectWhole();
    }
    const { generation } = await (await openRegistry()).config(id);
    expect(generation).toBeGreaterThan(1);
  });

  it('are seen by every host on the store; of two commits that began at the same state, one is a conflict', async () => {
    const [one, other] = [await openRegistry(), await openRegistry()];
    const id = await create(one);
    const [first, second] = [await one.handle(id), await other.handle(id)];
    one.setEntryPoint(first.handle, { args: ['/first'] });
    other.setEntryPoint(second.handle, { args: ['/second'] });
    const outcomes = await Promise.allSettled([one.commit(first.handle), other.commit(second.handle)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { kind: 'conflict' } });
    const { args } = (await one.config(id)).entryPoint;
    expect(args).toEqual((await other.config(id)).entryPoint.args);
    // A conflict uses its handle up.
    await expect(one.commit(first.handle)).rejects.toMatchObject({ kind: 'notFound' });
  });

  it('refuse what could not be executed', async () => {
    const registry = await openRegistry();
    const refused = { kind: 'containerFailed' };
    const make = (change: object) => registry.create({ image: 'none', entryPoint: { ...entryPoint, ...change } });
    await expect(make({ args: [] })).rejects.toMatchObject(refused);
    await expect(make({ args: ['a\0b'] })).rejects.toMatchObject(refused);
    await expect(make({ env: { 'A=B': 'c' } })).rejects.toMatchObject(refused);
    await expect(make({ cwd: 'relative' })).rejects.toMatchObject(refused);
    await expect(make({ args: ['x'.repeat(131_073)] })).rejects.toMatchObject(refused);
    for (const limits of [{ memoryBytes: 0 }, { layerBytes: 0 }, { layerFiles: 1.5 }]) {
      await expect(registry.create({ image: 'none', entryPoint, limits })).rejects.toMatchObject(refused);
    }
    await expect(registry.create({ image: 'none', entryPoint, hostname: 'a b' })).rejects.toMatchObject(refused);
  });
});

describe('handles', () => {
  it('expire when nobody uses them', async () => {
    const registry = await openRegistry({ handleMs: 0 });
    const { handle } = await registry.create({ image: 'none', entryPoint });
    expect(() => {
      registry.setRunState(handle, 'running');
    }).toThrow(expect.objectContaining({ kind: 'notFound', data: { handle, handleMs: 0 } }));
    await expect(registry.commit(handle)).rejects.toMatchObject({ kind: 'notFound' });
  });

  it('stay while they are used, and go by themselves', async () => {
    const registry = await openRegistry({ handleMs: 1000, handles: 2 });
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const used = await registry.create({ image: 'none', entryPoint });
    const idle = await registry.create({ image: 'none', entryPoint });
    for (let round = 0; round < 3; round++) {
      vi.advanceTimersByTime(900);
      registry.setRunState(used.handle, 'stopped');
    }
    expect(() => {
      registry.setRunState(idle.handle, 'stopped');
    }).toThrow(expect.objectContaining({ kind: 'notFound' }));
    // Its place is free.
    await registry.create({ image: 'none', entryPoint });
    expect((await registry.commit(used.handle)).status).toBe('created');
  });

  it('are bounded, and so is what they hold', async () => {
    const registry = await openRegistry({ handles: 2, copyBytes: 10, copyFiles: 2 });
    const { handle } = await registry.create({ image: 'none', entryPoint });
    const file = (content: string) => ({ path: '/file', mode: 0o644, content: Buffer.from(content) });
    registry.copyTo(handle, [file('12345678')]);
    expect(() => {
      registry.copyTo(handle, [file('901')]);
    }).toThrow(expect.objectContaining({ kind: 'contentTooLarge' }));
    registry.copyTo(handle, [file('9')]);
    expect(() => {
      registry.copyTo(handle, [file('0')]);
    }).toThrow(expect.objectContaining({ kind: 'contentTooLarge' }));
    expect(() => {
      registry.copyTo(handle, [{ path: 'relative', mode: 0o644, content: Buffer.from('') }]);
    }).toThrow(expect.objectContaining({ kind: 'containerFailed' }));
    await registry.create({ image: 'none', entryPoint });
    await expect(registry.create({ image: 'none', entryPoint })).rejects.toMatchObject({ kind: 'overloaded' });
  });

  it('take -1 for the default of a limit', async () => {
    const registry = await openRegistry();
    const { handle } = await registry.create({ image: 'none', entryPoint, limits: { memoryBytes: 1e8, cpus: 2 } });
    registry.setLimits(handle, { memoryBytes: -1, processes: 10 });
    const { id } = await registry.commit(handle);
    expect((await registry.config(id)).limits).toMatchObject({ memoryBytes: 2 * 1024 ** 3, cpus: 2, processes: 10 });
    expect(() => registry.setLimits(handle, { cpus: -1 })).toThrow(expect.objectContaining({ kind: 'notFound' }));
    const next = await registry.handle(id);
    expect(() => registry.setLimits(next.handle, { cpus: -2 })).toThrow(
      expect.objectContaining({ kind: 'containerFailed' }),
    );
  });
});
