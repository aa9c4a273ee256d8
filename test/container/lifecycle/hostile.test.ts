// Containers whose processes stop or replace what babelhost starts in them: every request is answered within its limits,
// and truthfully. Through the registry, with short limits.
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  ContainerRegistry,
  ContainerRuntime,
  type CopiedFile,
  type LifecycleLimits,
} from '../../../src/container/index.ts';
import { Workplace } from '../settings.ts';

const execute = promisify(execFile);
const source = fileURLToPath(new URL('../fixtures/meddler.c', import.meta.url));
const file = { path: '/tmp/file', mode: 0o600, content: Buffer.from('content') };

let place: Workplace;
let opened: AsyncDisposableStack;

beforeEach(async () => {
  place = await Workplace.make({ name: 'root', user: 'root', runtime: 'runc' });
  opened = new AsyncDisposableStack();
});
afterEach(async () => {
  await opened.disposeAsync();
  await place[Symbol.asyncDispose]();
});

async function openRegistry(runtimeProgram: string, limits: Partial<LifecycleLimits>): Promise<ContainerRegistry> {
  const runtime = opened.use(await ContainerRuntime.open({ directory: place.directory, runtime: runtimeProgram }));
  const lease = { rootfs: place.rootfs, release: () => Promise.resolve() };
  return opened.use(
    await ContainerRegistry.open({
      folder: path.join(place.folder, 'definitions'),
      runtime,
      roots: { lease: () => Promise.resolve(lease) },
      limits,
    }),
  );
}

async function start(registry: ContainerRegistry, args: string[], files: CopiedFile[] = []): Promise<string> {
  const entryPoint = { args, env: { PATH: '/bin' }, cwd: '/', user: '' };
  const { handle } = await registry.create({ image: 'any', entryPoint });
  registry.setRunState(handle, 'running');
  if (files.length > 0) registry.copyTo(handle, files);
  return (await registry.commit(handle)).id;
}

async function stop(registry: ContainerRegistry, id: string) {
  const { handle } = await registry.handle(id);
  registry.setRunState(handle, 'stopped');
  return await registry.commit(handle);
}

async function copyIn(registry: ContainerRegistry, id: string) {
  const { handle } = await registry.handle(id);
  registry.copyTo(handle, [file]);
  return await registry.commit(handle);
}

/** How long `work` takes, in ms. */
async function time(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

const inTime = { kind: 'timeout', data: { limit: 'copyMs', timeoutMs: 500 } };

describe.each(['runc', 'crun'])('a container that holds up what is started in it (%s)', (program) => {
  beforeEach(async () => {
    await execute('cc', ['-static', '-O1', '-o', path.join(place.rootfs, 'bin/meddler'), source]);
  });

  const meddle = async (registry: ContainerRegistry, mode: string): Promise<string> => {
    const id = await start(registry, ['meddler', mode]);
    await expect.poll(async () => (await registry.logs(id)).chunks).toEqual([{ stream: 'stdout', text: 'ready\n' }]);
    return id;
  };

  // The runtime's own process in the container, and the process that it becomes.
  it('has its copies given up after copyMs, and at once when their client does', async () => {
    const registry = await openRegistry(program, { copyMs: 500, stopMs: 200 });
    const id = await meddle(registry, 'halt');
    await expect
      .poll(() => registry.copyFrom(id, '/bin/busybox').catch((error: unknown) => error))
      .toMatchObject(inTime);
    await expect.poll(() => copyIn(registry, id).catch((error: unknown) => error)).toMatchObject(inTime);
    const reason = new Error('given up');
    const controller = new AbortController();
    const given = registry.copyFrom(id, '/bin/busybox', controller.signal);
    controller.abort(reason);
    expect(await time(() => expect(given).rejects.toBe(reason))).toBeLessThan(200);
    expect(await time(() => stop(registry, id))).toBeLessThan(2000);
  });

  it('has only those processes that the guard has started, whatever it does to them', async () => {
    const registry = await openRegistry(program, { copyMs: 500, stopMs: 200 });
    const id = await meddle(registry, 'storm');
    const started = await Promise.all(
      Array.from({ length: 4 }, () => registry.execute(id, { args: ['sleep', '1000'] })),
    );
    const { processes } = await registry.state(id);
    expect(processes).toHaveLength(1 + started.length);
    for (const { pid } of processes) expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toContain('/dev/init');
    expect(await stop(registry, id)).toMatchObject({ status: 'stopped' });
    expect((await registry.state(id)).processes.map(({ status }) => status)).not.toContain('running');
  });

  it('ends with its host in a moment, whatever of it is stopped, and whatever is asked of it then', async () => {
    const registry = await openRegistry(program, { copyMs: 30_000, stopMs: 200 });
    const id = await meddle(registry, 'halt');
    const asked = Promise.allSettled([registry.copyFrom(id, '/bin/busybox'), copyIn(registry, id)]);
    expect(await time(() => opened.disposeAsync())).toBeLessThan(8000);
    expect((await asked).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });
});

describe('a container in which the copying process was taken over', () => {
  /** Replaces what the runtime executes for `command` by a script: for `exec`, that is native/init/copy.c. */
  const replace = async (command: 'run' | 'exec', instead: string, copyMs: number) => {
    const program = path.join(place.folder, 'runtime');
    await writeFile(
      program,
      `#!/bin/sh
for word in "$@"; do [ "$last" = --pid-file ] && file=$word; last=$word; done
case "$*" in
  *" ${command} "*) sh -c '${instead}' & echo $! > "$file";;
  *) exec runc "$@";;
esac
`,
    );
    await chmod(program, 0o755);
    return await openRegistry(program, { copyBytes: 1024 ** 2, copyMs });
  };

  /** @param copyMs - long, but for what is to be given up */
  const openWith = async (instead: string, copyMs = 60_000) => {
    const registry = await replace('exec', instead, copyMs);
    return { registry, id: await start(registry, ['sleep', '1000']) };
  };

  it('reads what it may, not what comes, and does not wait for more', async () => {
    const { registry, id } = await openWith('echo 644; exec cat /dev/zero');
    await expect(registry.copyFrom(id, '/bin/busybox')).rejects.toMatchObject({
      kind: 'contentTooLarge',
      data: { limit: 'copyBytes', limitBytes: 1024 ** 2 },
    });
  });

  it.each([
    ['it complains without end', 'exec cat /dev/zero >&2', /more than 8192 bytes to its stderr/],
    ['it writes no mode', 'echo none', /wrote what it never writes/],
  ])('gives no file where %s', async (_what, instead, message) => {
    const { registry, id } = await openWith(instead);
    await expect(registry.copyFrom(id, '/bin/busybox')).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(message) as string,
    });
  });

  it('has been given none where it writes anything', async () => {
    const { registry, id } = await openWith('exec cat /dev/zero');
    await expect(copyIn(registry, id)).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringContaining('wrote what it never writes') as string,
    });
  });

  it('is not started where files are to be copied into it before', async () => {
    const registry = await replace('run', 'echo started >&3; exec sleep 1000', 500);
    await expect(start(registry, ['true'], [file])).rejects.toMatchObject(inTime);
    expect(await registry.list()).toEqual([]);
  });

  it('leaves nothing of it running, whether that has answered or not', async () => {
    const marker = path.join(place.folder, 'copying');
    const running = async () => (await execute('ps', ['-eo', 'args'])).stdout.includes(`> ${marker}`);
    const { registry, id } = await openWith(`> ${marker}; trap "" TERM; while :; do sleep 1; done`, 500);
    const copy = registry.copyFrom(id, '/bin/busybox');
    copy.catch(() => undefined);
    await expect.poll(running).toBe(true);
    await expect(copy).rejects.toMatchObject(inTime);
    await expect.poll(running).toBe(false);
  });
});
