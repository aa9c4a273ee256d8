// The library's runtime: images as commands, with real containers.
import { once } from 'node:events';
import { readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import path from 'node:path';
import { decodeTime } from 'ulid';
import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  defaultConfigFactory,
  formatReference,
  isContainerId,
  newContainerId,
  parseReference,
  Runtime,
  type Container,
  type ImageConfig,
} from '../../src/index.ts';
import { isRoot } from '../support/privileges.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

let folder: string;
let runtime: Runtime;
let image: string;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  runtime = await Runtime.open({
    root: path.join(folder, 'root'),
    configFactory: (config, process) => ({ ...defaultConfigFactory(config, process), hostname: 'of-the-factory' }),
  });
  const reference = await buildScriptDriver(folder, { language: 'toy', script: 'cat' });
  image = (await runtime.installDriver(reference)).driver.digest;
});
afterAll(async () => {
  await runtime[Symbol.asyncDispose]();
  await removeFolder(folder);
});

const shell = (script: string) => ['/bin/sh', '-c', script];
const forever = shell('while :; do busybox sleep 1; done');

/** Whether the machine still has a process. */
function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function started(args: readonly string[]): Promise<Container> {
  const container = await runtime.container(image, { args });
  await container.start();
  return container;
}

it('runs a process with its streams, and tells how it ended', async () => {
  const stdout = new PassThrough();
  const container = await runtime.container(image, {
    args: shell('busybox cat; busybox hostname; exit 3'),
    stdin: Readable.from(['input\n']),
    stdout,
  });
  expect(isContainerId(container.id)).toBe(true);
  expect(container.status).toBe('created');
  expect(await container.run()).toEqual({ reason: 'exited', code: 3 });
  expect(container.status).toBe('stopped');
  stdout.end();
  expect(await text(stdout)).toBe('input\nof-the-factory\n');
  await expect(container.start()).rejects.toMatchObject({ kind: 'conflict' });
});

it('gives a process its environment, user, working directory and limits', async () => {
  const stdout = new PassThrough();
  const container = await runtime.container(image, {
    args: shell('echo $NAME $PATH; echo $(busybox id -u):$(busybox id -g); busybox pwd; ulimit -n'),
    env: { NAME: 'value' },
    user: '7:8',
    cwd: '/tmp',
    limits: { openFiles: 99 },
    stdout,
  });
  expect(container.config).toMatchObject({ hostname: 'of-the-factory', limits: { openFiles: 99 } });
  expect(await container.run()).toEqual({ reason: 'exited', code: 0 });
  expect(await text(stdout.end())).toBe('value /bin\n7:8\n/tmp\n99\n');
});

it('has the streams of a process that was given none, and takes signals by name', async () => {
  const container = await started(shell('read -r line; echo "got $line"; exec busybox sleep 1000'));
  const { stdin, stdout } = await container.stdio();
  stdin.write('a line\n');
  const [chunk] = (await once(stdout, 'data')) as [Buffer];
  expect(chunk.toString()).toBe('got a line\n');
  await container.signal('SIGUSR1');
  expect(await container.wait()).toEqual({ reason: 'signaled', signal: 10 });
  const killed = await started(forever);
  await killed.kill();
  expect(await killed.wait()).toEqual({ reason: 'killed' });
});

it('is ended when it is disposed of, and with its runtime', async () => {
  const other = await Runtime.open({ root: path.join(folder, 'root') });
  const container = await other.container(image, { args: forever });
  await container.start();
  let pids: number[];
  {
    await using own = await started(forever);
    pids = await own.processes();
    expect(pids.every(isThere)).toBe(true);
  }
  expect(pids.filter(isThere)).toEqual([]);
  const others = await container.processes();
  expect(others.every(isThere)).toBe(true);
  await other[Symbol.asyncDispose]();
  expect(others.filter(isThere)).toEqual([]);
  expect(container.status).toBe('stopped');
});

it('starts, stops, and is waited for', async () => {
  await using container = await runtime.container(image, { args: forever });
  await expect(container.wait()).rejects.toMatchObject({ kind: 'conflict' });
  await container.start();
  expect(container.status).toBe('running');
  expect((await container.processes()).length).toBeGreaterThan(1);
  expect(await container.stop()).toEqual({ reason: 'signaled', signal: 15 });
  expect(await container.processes()).toEqual([]);
});

it.each(['runc', 'crun'])(
  'tells its OCI state, as %s has it, with the paths of its cgroups and namespaces',
  async (name) => {
    await using other = await Runtime.open({ root: path.join(folder, 'root'), runtime: name });
    // crun is given its filter again in an annotation from the second container on.
    await using first = await other.container(image, { args: forever });
    await first.start();
    const container = await other.container(image, { args: forever });
    expect(await container.state()).toEqual({ id: container.id, status: 'created' });
    const before = Date.now();
    await container.start();
    const state = await container.state();
    if (state.status !== 'running') throw new Error(`it is ${state.status}`);
    const [pid = 0] = await container.processes();
    expect(state).toMatchObject({ id: container.id, status: 'running', pid });
    expect(state.annotations).toEqual({});
    expect(state.ociVersion).toMatch(/^1\.\d+\.\d+/);
    expect(state.bundle).toMatch(new RegExp(`^${path.join(folder, 'root')}/.*/${container.id}$`));
    expect(Date.parse(state.created)).toBeGreaterThanOrEqual(before - 1000);
    expect(Date.parse(state.created)).toBeLessThanOrEqual(Date.now() + 1000);
    const types = ['cgroup', 'ipc', 'mount', 'network', 'pid', 'user', 'uts'];
    expect(Object.keys(state.namespacePaths).sort()).toEqual(types);
    for (const file of Object.values(state.namespacePaths)) {
      expect(path.dirname(file)).toBe(`/proc/${pid}/ns`);
      expect(await readlink(file)).not.toBe(await readlink(`/proc/self/ns/${path.basename(file)}`));
    }
    const lines = (await readFile(`/proc/${pid}/cgroup`, 'utf8'))
      .split('\n')
      .filter((line) => line.endsWith(container.id));
    const controllers = lines.flatMap((line) => (line.split(':')[1] ?? '').split(','));
    expect(Object.keys(state.cgroupPaths).sort()).toEqual(controllers.sort());
    if (isRoot) expect(controllers.length).toBeGreaterThan(0);
    for (const cgroup of Object.values(state.cgroupPaths)) {
      expect((await readFile(path.join(cgroup, 'cgroup.procs'), 'utf8')).split('\n')).toContain(String(pid));
    }
    await container.kill();
    expect(await container.state()).toEqual({ id: container.id, status: 'stopped' });
  },
);

it('says why its runtime does not tell its state', async () => {
  const program = path.join(folder, 'runc');
  await writeFile(
    program,
    '#!/bin/sh\ncase " $* " in *" state "*) echo "no state today" >&2; exit 1;; esac\nexec runc "$@"\n',
    { mode: 0o755 },
  );
  await using other = await Runtime.open({ root: path.join(folder, 'root'), runtime: program });
  await using container = await other.container(image, { args: forever });
  await container.start();
  await expect(container.state()).rejects.toMatchObject({
    kind: 'containerFailed',
    message: expect.stringContaining('no state today') as unknown,
  });
});

it('is cancelled by its signal, with the reason of that', async () => {
  const container = await runtime.container(image, { args: shell('exec busybox sleep 1000') });
  const reason = new Error('enough');
  const controller = new AbortController();
  const run = container.run(controller.signal);
  await expect.poll(() => container.status).toBe('running');
  controller.abort(reason);
  await expect(run).rejects.toBe(reason);
  expect(container.status).toBe('stopped');
  const late = await runtime.container(image, { args: forever });
  await expect(late.run(AbortSignal.abort(reason))).rejects.toBe(reason);
  expect(late.status).toBe('stopped');
  await expect(late.wait()).rejects.toBe(reason);
});

it('is not started where a protection that is required is not in force', async () => {
  await using strict = await Runtime.open({ root: path.join(folder, 'root'), require: ['magic'] });
  const container = await strict.container(image, { args: forever });
  await expect(container.start()).rejects.toMatchObject({ kind: 'containerFailed', data: { required: 'magic' } });
});

it('has the words of the process before those of the image', () => {
  const config: ImageConfig = {
    ...{ env: ['A=1', 'B=2', 'C'], entrypoint: ['/entry'], command: ['word'], workingDirectory: '', user: 'app' },
    ...{ labels: {}, volumes: [], exposedPorts: [] },
  };
  expect(defaultConfigFactory(config, {}).process).toEqual({
    args: ['/entry', 'word'],
    env: { A: '1', B: '2', C: '' },
    cwd: '/',
    user: 'app',
  });
  const own = { args: ['/other'], env: { B: '3' }, cwd: '/tmp', user: '0', limits: { processes: 5 } };
  expect(defaultConfigFactory({ ...config, workingDirectory: '/srv' }, own)).toEqual({
    process: { args: ['/other'], env: { A: '1', B: '3', C: '' }, cwd: '/tmp', user: '0' },
    limits: { processes: 5 },
  });
});

it('reads and writes references, makes ids, and refuses what is neither', () => {
  const reference = 'docker://registry.example.org:5000/team/driver:v1';
  expect(formatReference(parseReference(reference))).toBe(reference);
  expect(() => parseReference('docker://Not A Name')).toThrow(expect.objectContaining({ kind: 'imageInvalid' }));
  const before = Date.now();
  const ids = [newContainerId(), newContainerId()];
  const after = Date.now();
  expect(ids.every(isContainerId)).toBe(true);
  expect(new Set(ids).size).toBe(2);
  for (const id of ids) {
    expect(decodeTime(id)).toBeGreaterThanOrEqual(before);
    expect(decodeTime(id)).toBeLessThanOrEqual(after);
  }
  expect(isContainerId('../escape')).toBe(false);
});

it('lists and removes drivers, and refuses images and processes that are none', async () => {
  expect((await runtime.listDrivers()).map(({ language }) => language)).toEqual(['toy']);
  await expect(runtime.container('missing')).rejects.toMatchObject({ kind: 'imageNotFound' });
  await expect(runtime.container(image)).rejects.toMatchObject({ kind: 'containerFailed' });
  const container = await runtime.container(image, { args: ['/bin/missing'] });
  await expect(container.run()).rejects.toMatchObject({ kind: 'containerFailed' });
  await expect(runtime.removeDriver('missing')).rejects.toMatchObject({ kind: 'driverNotInstalled' });
});

it('opens its root to other users where it is told to, and keeps it from them else', async () => {
  const root = path.join(folder, 'shared');
  for (const [storeAccess, mode] of [
    [undefined, 0o700],
    ['everyone', 0o711],
    ['owner', 0o700],
  ] as const) {
    await using opened = await Runtime.open({ root, ...(storeAccess !== undefined && { storeAccess }) });
    expect(opened.images.root).toBe(root);
    expect((await stat(root)).mode & 0o777).toBe(mode);
  }
});
