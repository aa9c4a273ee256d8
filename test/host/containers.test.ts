// Containers through the protocol: made, changed, started, looked into, stopped and destroyed, in real ones.
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Params } from '../../src/protocol/methods.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { serveHost, type ServedHost } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

const meddlerSource = fileURLToPath(new URL('../container/fixtures/meddler.c', import.meta.url));

let folder: string;
let root: string;
let image: string;
let host: ServedHost;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  root = path.join(folder, 'root');
  host = serveHost(root);
  const reference = await buildScriptDriver(folder, { language: 'toy', script: 'cat' });
  image = (await host.client.request('driver/install', { reference })).driver.digest;
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await removeFolder(folder);
});

const request: ServedHost['client']['request'] = (...args) => host.client.request(...args);

/** Commits one change, or several. */
async function change(id: string, changes: Partial<Params<'container/setEntryPoint'>> & Changes) {
  const { handle } = await request('container/handle', { id });
  const { runState, files, limits } = changes;
  if (files !== undefined) await request('container/copyTo', { handle, files });
  if (limits !== undefined) await request('container/setLimits', { handle, ...limits });
  if (changes.args !== undefined) await request('container/setEntryPoint', { handle, args: changes.args });
  if (runState !== undefined) await request('container/setRunState', { handle, runState });
  return await request('container/commit', { handle });
}

interface Changes {
  readonly runState?: 'running' | 'stopped';
  readonly files?: Params<'container/copyTo'>['files'];
  readonly limits?: Omit<Params<'container/setLimits'>, 'handle'>;
}

const shell = (script: string): string[] => ['/bin/sh', '-c', script];
const forever = shell('while :; do /bin/busybox sleep 1; done');

/** A container, committed; with `start`, running. */
async function make(args: string[], more: Partial<Params<'container/create'>> = {}, start = true): Promise<string> {
  const { handle, id } = await request('container/create', { image, args, ...more });
  if (start) await request('container/setRunState', { handle, runState: 'running' });
  await request('container/commit', { handle });
  return id;
}

async function ended(id: string) {
  await expect.poll(async () => (await request('container/state', { id })).status).toBe('stopped');
  return (await request('container/state', { id })).processes[0];
}

const run = (id: string, script: string) => request('container/exec', { id, args: shell(script), wait: true });
const statusOf = async (id: string) => (await request('container/state', { id })).status;

describe('a container', () => {
  it('is there from its first commit on, and runs, stops and goes by others', async () => {
    const { handle, id } = await request('container/create', { image, args: forever });
    await expect(request('container/state', { id })).rejects.toMatchObject({ kind: 'notFound' });
    expect(await request('container/commit', { handle })).toEqual({ id, generation: 1, status: 'created', notes: [] });
    expect(await change(id, { runState: 'running' })).toMatchObject({ generation: 2, status: 'running' });
    const { containers } = await request('container/list', { status: 'running' });
    expect(containers.map((each) => each.id)).toContain(id);
    await expect(request('container/destroy', { id })).rejects.toMatchObject({ kind: 'conflict' });
    expect(await change(id, { runState: 'stopped' })).toMatchObject({ generation: 3, status: 'stopped' });
    expect((await request('container/state', { id })).processes).toMatchObject([
      { id, main: true, status: 'exited', signal: 15 },
    ]);
    expect(await request('container/destroy', { id })).toEqual({ destroyed: id });
    await expect(request('container/config', { id })).rejects.toMatchObject({ kind: 'notFound' });
    await expect(request('container/handle', { id })).rejects.toMatchObject({ kind: 'notFound' });
  });

  it('has what the image says where nothing else is given', async () => {
    const id = await make(forever, { cwd: '/tmp', env: { NAME: 'value' }, hostname: 'elsewhere' });
    const { stdout } = await run(id, 'echo $NAME $PATH; busybox pwd; busybox hostname');
    expect(stdout).toBe('value /bin\n/tmp\nelsewhere\n');
    await change(id, { runState: 'stopped' });
  });

  it('cannot be put into the state `created`', async () => {
    const { handle } = await request('container/create', { image, args: forever });
    await expect(request('container/setRunState', { handle, runState: 'created' as 'running' })).rejects.toMatchObject({
      code: -32602,
    });
  });

  it('keeps what it writes in its layer, and writes nowhere without one', async () => {
    const id = await make(shell('echo kept > /file'), { writable: true });
    expect(await ended(id)).toMatchObject({ exitCode: 0 });
    await change(id, {
      args: shell('busybox cat /file; echo new > /bin/other; busybox rm /bin/busybox'),
      runState: 'running',
    });
    expect(await ended(id)).toMatchObject({ exitCode: 0 });
    expect((await request('container/logs', { id })).chunks).toEqual([{ stream: 'stdout', text: 'kept\n' }]);
    const other = await make(shell('echo lost > /file'));
    expect(await ended(other)).toMatchObject({ exitCode: 1 });
    // The first container removed busybox in its own layer only.
    expect((await request('container/logs', { id: other })).chunks[0]?.text).toContain('Read-only file system');
  });

  it('is ended when its layer holds more than it may', async () => {
    const id = await make(shell('busybox dd if=/dev/zero of=/big bs=1M count=20; busybox sleep 1000'), {
      writable: true,
      limits: { layerBytes: 10 * 1024 ** 2 },
    });
    expect((await ended(id))?.message).toContain('limit: layerBytes');
  });

  it('is ended when it uses more memory than it may, or more time', async () => {
    const bomb = shell('busybox dd if=/dev/zero of=/dev/null bs=200M count=1');
    const id = await make(bomb, { limits: { memoryBytes: 50 * 1024 ** 2 } });
    expect((await ended(id))?.message).toBe(
      'It used more memory than its limit of 52428800 bytes (limit: memoryBytes).',
    );
    const slow = await make(forever, { limits: { runTimeMs: 50 } });
    expect((await ended(slow))?.message).toContain('limit: runTimeMs');
  });

  it('leaves its limits as they are while it runs, and says so', async () => {
    const id = await make(forever, { limits: { processes: 20 } });
    const { handle } = await request('container/handle', { id });
    const limits = { handle, processes: 30 };
    expect((await request('container/setLimits', limits)).notes[0]).toContain('its limits were not changed');
    expect((await request('container/commit', { handle })).notes).toHaveLength(1);
    expect((await request('container/config', { id })).limits['processes']).toBe(20);
    expect((await change(id, { limits: { processes: -1 }, runState: 'stopped' })).notes).toEqual([]);
    expect((await request('container/config', { id })).limits['processes']).toBe(256);
  });
});

describe('a commit', () => {
  it('fails if another came after its handle was taken', async () => {
    const id = await make(forever, {}, false);
    const [first, second] = [await request('container/handle', { id }), await request('container/handle', { id })];
    await request('container/commit', { handle: first.handle });
    await request('container/setRunState', { handle: second.handle, runState: 'running' });
    await expect(request('container/commit', { handle: second.handle })).rejects.toMatchObject({ kind: 'conflict' });
    expect(await statusOf(id)).toBe('created');
  });

  it('does nothing if a part of it cannot be done, and can be tried again', async () => {
    const id = await make(forever, {}, false);
    const { handle } = await request('container/handle', { id });
    await request('container/setEntryPoint', { handle, args: ['/bin/missing'] });
    await request('container/setRunState', { handle, runState: 'running' });
    await expect(request('container/commit', { handle })).rejects.toMatchObject({ kind: 'containerFailed' });
    expect(await statusOf(id)).toBe('created');
    expect(await request('container/config', { id })).toMatchObject({ generation: 1, entryPoint: { args: forever } });
    await request('container/setEntryPoint', { handle, args: forever });
    expect(await request('container/commit', { handle })).toMatchObject({ generation: 2, status: 'running' });
    await change(id, { runState: 'stopped' });
  });

  it('that cannot start what it is to create leaves nothing', async () => {
    const { handle, id } = await request('container/create', { image, args: ['/bin/missing'], writable: true });
    await request('container/setRunState', { handle, runState: 'running' });
    await expect(request('container/commit', { handle })).rejects.toMatchObject({ kind: 'containerFailed' });
    expect(await readdir(path.join(root, 'container-definitions'))).not.toContain(id);
  });

  it('kills what does not end by itself, at once if its client gives up waiting', async () => {
    const id = await make(shell('trap "echo refused" TERM; echo ready; while :; do busybox sleep 1; done'));
    const output = async () => (await request('container/logs', { id })).chunks.map((chunk) => chunk.text).join('');
    await expect.poll(output).toBe('ready\n');
    const controller = new AbortController();
    const { handle } = await request('container/handle', { id });
    await request('container/setRunState', { handle, runState: 'stopped' });
    const commit = request('container/commit', { handle }, { signal: controller.signal });
    await expect.poll(output).toContain('refused');
    controller.abort();
    await expect(commit).rejects.toMatchObject({ code: -32800 });
    await expect.poll(() => statusOf(id)).toBe('stopped');
  });
});

describe('files', () => {
  it('are copied into a running container at once, all or none, and out of it', async () => {
    const id = await make(forever);
    await change(id, { files: [{ path: '/tmp/a', content: 'AAE=', encoding: 'base64', mode: 0o600 }] });
    expect(await request('container/copyFrom', { id, path: '/tmp/a' })).toEqual({
      path: '/tmp/a',
      mode: 0o600,
      sizeBytes: 2,
      content: 'AAE=',
    });
    const files = [
      { path: '/tmp/b', content: 'b' },
      { path: '/missing/c', content: 'c' },
    ];
    await expect(change(id, { files })).rejects.toMatchObject({
      kind: 'notFound',
      message: expect.stringContaining('The folder of each file must be there: make it with container/exec.') as string,
    });
    await expect(
      change(id, {
        files: [
          { path: '/tmp/b', content: 'b' },
          { path: '/bin/c', content: 'c' },
        ],
      }),
    ).rejects.toMatchObject({ kind: 'containerFailed', data: { code: 'EROFS' } });
    expect((await run(id, 'busybox ls -A /tmp')).stdout).toBe('a\n');
    await expect(request('container/copyFrom', { id, path: '/tmp/b' })).rejects.toMatchObject({ kind: 'notFound' });
    await expect(request('container/copyFrom', { id, path: '/tmp' })).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringContaining('Files are copied, not folders') as string,
    });
    await run(id, 'busybox mkfifo /tmp/fifo; busybox dd if=/dev/zero of=/tmp/big bs=1M count=40');
    await expect(request('container/copyFrom', { id, path: '/tmp/fifo' })).rejects.toMatchObject({
      kind: 'containerFailed',
    });
    await expect(request('container/copyFrom', { id, path: '/tmp/big' })).rejects.toMatchObject({
      kind: 'contentTooLarge',
      data: { limit: 'copyBytes' },
    });
    await change(id, { runState: 'stopped' });
    await expect(request('container/copyFrom', { id, path: '/tmp/a' })).rejects.toMatchObject({ kind: 'conflict' });
  });

  it('wait for the next start of a stopped one, and are there before its command is', async () => {
    const id = await make(shell('busybox cat /tmp/first /tmp/second; echo done'), {}, false);
    await change(id, { files: [{ path: '/tmp/first', content: 'placed\n' }] });
    expect((await request('container/config', { id })).pending).toEqual([
      { path: '/tmp/first', mode: 0o644, sizeBytes: 7 },
    ]);
    await change(id, { files: [{ path: '/tmp/second', content: 'x'.repeat(300_000) }], runState: 'running' });
    expect(await ended(id)).toMatchObject({ exitCode: 0 });
    const text = (await request('container/logs', { id })).chunks.map((chunk) => chunk.text).join('');
    expect(text).toBe(`placed\n${'x'.repeat(300_000)}done\n`);
    expect((await request('container/config', { id })).pending).toEqual([]);
    await change(id, { files: [{ path: '/missing/file', content: '' }] });
    await expect(change(id, { runState: 'running' })).rejects.toMatchObject({ kind: 'notFound' });
    expect(await statusOf(id)).toBe('stopped');
  });

  it('stay in the container, whatever its links say', async () => {
    const secret = path.join(folder, 'secret');
    await mkdir(secret);
    await symlink('/etc', path.join(secret, 'link'));
    const id = await make(forever, { writable: true });
    await run(
      id,
      `busybox ln -s ${secret} /tmp/out; busybox ln -s /proc/1/root/../../.. /tmp/up; busybox ln -s ${root} /escape`,
    );
    const copies = [
      ['/tmp/out/file', 'ENOENT'],
      ['/escape/index.json', 'ENOENT'],
      [`/../../..${secret}/file`, 'ENOENT'],
      // /proc/1/root is nobody's to follow.
      [`/tmp/up/${secret}/file`, 'EACCES'],
    ] as const;
    for (const [file, code] of copies) {
      await expect(change(id, { files: [{ path: file, content: 'hostile' }] })).rejects.toMatchObject({
        data: { reason: expect.stringContaining(`(${code})`) as string },
      });
      await expect(request('container/copyFrom', { id, path: file })).rejects.toMatchObject({
        data: { reason: expect.stringContaining(`(${code})`) as string },
      });
    }
    expect(await readdir(secret)).toEqual(['link']);
    await change(id, { runState: 'stopped' });
    await rm(secret, { recursive: true });
  });
});

describe('a further process', () => {
  it('has a life and an id of its own', async () => {
    const id = await make(forever);
    const started = await request('container/exec', {
      id,
      args: shell('echo out; echo err >&2; exec busybox sleep 1000'),
    });
    const { process } = started;
    expect(process).toMatchObject({ main: false, status: 'running' });
    expect(process.id).not.toBe(id);
    await expect
      .poll(async () => (await request('container/logs', { id: process.id })).chunks.length)
      .toBeGreaterThanOrEqual(2);
    const { processes } = await request('container/state', { id });
    for (const each of processes) {
      // Host ids of processes of babelhost's own, of which neither is an ancestor of the other.
      expect(await readFile(`/proc/${each.pid}/cmdline`, 'utf8')).toContain('/dev/init');
      expect(Date.parse(each.startedAt)).toBeLessThanOrEqual(Date.now());
      expect(each.finishedAt).toBeUndefined();
    }
    expect(new Set(processes.map(({ pid }) => pid)).size).toBe(2);
    await request('container/signal', { id: process.id, signal: 'USR1' });
    await expect
      .poll(async () => (await request('container/state', { id })).processes)
      .toMatchObject([
        { id, status: 'running' },
        { id: process.id, status: 'exited', signal: 10, message: 'It was ended by signal 10.' },
      ]);
    const [, exited] = (await request('container/state', { id })).processes;
    expect(Date.parse(exited?.finishedAt ?? '')).toBeGreaterThanOrEqual(Date.parse(exited?.startedAt ?? ''));
    await expect(request('container/signal', { id: process.id, signal: 9 })).rejects.toMatchObject({
      kind: 'conflict',
    });
    await request('container/signal', { id, signal: 'SIGKILL' });
    expect(await ended(id)).toMatchObject({ signal: 9 });
  });

  it('reads its input, has the container’s isolation, and tells how it ended', async () => {
    const id = await make(forever);
    const result = await request('container/exec', {
      id,
      args: shell(
        'busybox cat; busybox id -u; echo /proc/self/fd/*; busybox grep -E "Seccomp:|NoNewPrivs|CapEff" /proc/self/status; exit 7',
      ),
      input: 'input\n',
      wait: true,
    });
    expect(result.stdout).toBe(
      'input\n0\n/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n' +
        'CapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n',
    );
    expect(result.process).toMatchObject({ status: 'exited', exitCode: 7, message: 'It exited with status 7.' });
    await expect(request('container/exec', { id, args: ['/bin/missing'] })).rejects.toMatchObject({
      kind: 'containerFailed',
      data: { reason: 'ENOENT' },
    });
    await change(id, { runState: 'stopped' });
    await expect(request('container/exec', { id, args: shell('true') })).rejects.toMatchObject({ kind: 'conflict' });
  });

  it('keeps what it wrote last', async () => {
    const id = await make(forever);
    const { stdout, droppedBytes } = await run(id, 'busybox yes | busybox head -c 1000000; echo; echo end');
    expect(stdout).toMatch(/^[y\n]+\nend\n$/);
    expect(stdout?.length).toBe(256 * 1024);
    expect(droppedBytes).toBe(1_000_005 - 256 * 1024);
    await change(id, { runState: 'stopped' });
  });

  it('of no container is refused', async () => {
    for (const id of ['01ARZ3NDEKTSV4RRFFQ69G5FAV', '../..', 'x']) {
      await expect(request('container/exec', { id, args: ['true'] })).rejects.toMatchObject({ kind: 'notFound' });
      await expect(request('container/signal', { id, signal: 9 })).rejects.toMatchObject({ kind: 'notFound' });
      await expect(request('container/logs', { id })).rejects.toMatchObject({ kind: 'notFound' });
      await expect(request('container/destroy', { id })).rejects.toMatchObject({ kind: 'notFound' });
    }
    const id = await make(forever, {}, false);
    await expect(request('container/signal', { id, signal: 'SIGNONE' })).rejects.toMatchObject({
      kind: 'containerFailed',
    });
    await expect(request('container/logs', { id })).rejects.toMatchObject({ kind: 'conflict' });
  });
});

describe('containers and hosts', () => {
  it('are stopped after a restart of the host, with their layers; while one host runs them, no other does', async () => {
    const own = path.join(folder, 'own');
    const one = serveHost(own);
    const reference = await buildScriptDriver(folder, { language: 'toy', script: 'cat' });
    const { driver } = await one.client.request('driver/install', { reference });
    const args = shell('busybox cat /file; echo again >> /file; while :; do busybox sleep 1; done');
    const created = await one.client.request('container/create', { image: driver.digest, args, writable: true });
    const { id, handle } = created;
    await one.client.request('container/setRunState', { handle, runState: 'running' });
    await one.client.request('container/commit', { handle });
    {
      await using other = serveHost(own);
      const { containers } = await other.client.request('container/list', {});
      expect(containers).toMatchObject([{ id, status: 'running' }]);
      const taken = await other.client.request('container/handle', { id });
      await other.client.request('container/setRunState', { handle: taken.handle, runState: 'running' });
      await expect(other.client.request('container/commit', { handle: taken.handle })).rejects.toMatchObject({
        kind: 'conflict',
      });
      await expect(other.client.request('container/destroy', { id })).rejects.toMatchObject({ kind: 'conflict' });
    }
    one.child.kill('SIGKILL');
    await one.ended;
    await using next = serveHost(own);
    await expect.poll(async () => (await next.client.request('container/state', { id })).status).toBe('stopped');
    const again = await next.client.request('container/handle', { id });
    await next.client.request('container/setRunState', { handle: again.handle, runState: 'running' });
    await next.client.request('container/commit', { handle: again.handle });
    await expect
      .poll(async () => (await next.client.request('container/logs', { id })).chunks)
      .toEqual([{ stream: 'stdout', text: 'again\n' }]);
  });

  it('end with it in seconds, whatever their processes do to those that are started in them', async () => {
    const meddler = path.join(folder, 'meddler');
    await promisify(execFile)('cc', ['-static', '-O1', '-o', meddler, meddlerSource]);
    await using attacked = serveHost(path.join(folder, 'attacked'), ['--drain', '500ms']);
    const { client, child } = attacked;
    const reference = `oci:${path.join(folder, 'image-toy')}:1`;
    const { driver } = await client.request('driver/install', { reference });
    for (const mode of ['halt', 'storm']) {
      const args = ['/tmp/meddler', mode];
      const { handle, id } = await client.request('container/create', { image: driver.digest, args });
      const content = await readFile(meddler, 'base64');
      const files = [{ path: '/tmp/meddler', content, encoding: 'base64' as const, mode: 0o755 }];
      await client.request('container/copyTo', { handle, files });
      await client.request('container/setRunState', { handle, runState: 'running' });
      await client.request('container/commit', { handle });
      await expect.poll(async () => (await client.request('container/logs', { id })).chunks).toHaveLength(1);
      // These may never be answered.
      client.request('container/copyFrom', { id, path: '/tmp/meddler' }).catch(() => undefined);
      client.request('container/exec', { id, args: ['/bin/sh'], wait: true }).catch(() => undefined);
      const { processes } = await client.request('container/state', { id });
      for (const { pid } of processes) expect(await readFile(`/proc/${pid}/cmdline`, 'utf8')).toContain('/dev/init');
    }
    const begun = performance.now();
    child.kill('SIGTERM');
    expect(await attacked.ended).toBe(0);
    expect(performance.now() - begun).toBeLessThan(8000);
  });

  it('refuse to start without a protection that is required', async () => {
    const strict = serveHost(root, ['--require', 'memory,nonsense']);
    expect(await strict.ended).toBe(1);
    expect(strict.log()).toContain("'nonsense' is required, but there is no such protection");
  });
});
