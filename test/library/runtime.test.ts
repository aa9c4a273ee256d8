// The library's runtime: images as commands, with real containers.
import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { defaultConfigFactory, isContainerId, Runtime } from '../../src/index.ts';
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

it('starts, signals, stops, and is ended when it is disposed of', async () => {
  await using container = await runtime.container(image, { args: shell('while :; do busybox sleep 1; done') });
  await expect(container.wait()).rejects.toMatchObject({ kind: 'conflict' });
  await container.start();
  expect(container.status).toBe('running');
  expect((await container.processes()).length).toBeGreaterThan(1);
  expect(await container.stop()).toEqual({ reason: 'signaled', signal: 15 });
  expect(await container.processes()).toEqual([]);
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
});

it('lists and removes drivers, and refuses images and processes that are none', async () => {
  expect((await runtime.listDrivers()).map(({ language }) => language)).toEqual(['toy']);
  await expect(runtime.container('missing')).rejects.toMatchObject({ kind: 'imageNotFound' });
  await expect(runtime.container(image)).rejects.toMatchObject({ kind: 'containerFailed' });
  const container = await runtime.container(image, { args: ['/bin/missing'] });
  await expect(container.run()).rejects.toMatchObject({ kind: 'containerFailed' });
  await expect(runtime.removeDriver('missing')).rejects.toMatchObject({ kind: 'driverNotInstalled' });
});
