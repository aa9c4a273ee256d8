// Limits of drivers: where they come from, and what a request is told when its driver exceeds them.
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { defaultLimits } from '../../src/container/index.ts';
import { runLimits } from '../../src/drivers/installed/run-limits.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { serveHost } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

let folder: string;
beforeAll(async () => {
  folder = await makeTemporaryFolder();
});
afterAll(() => removeFolder(folder));

const megabyte = 1024 * 1024;

describe('the limits of a driver', () => {
  const manifest = { limits: { memoryBytes: 100 * megabyte, cpus: 64, runTimeMs: 1000 } };

  it('are lowered by its manifest, never raised', () => {
    expect(runLimits({ language: 'toy', manifest })).toEqual({
      ...defaultLimits,
      memoryBytes: 100 * megabyte,
      runTimeMs: 1000,
    });
  });

  it('are as the host says, for all or for its language, and before that as its installation said', () => {
    const configured = { '*': { cpus: 2, processes: 10 }, toy: { processes: 20, openFiles: 30 } };
    const limits = { openFiles: 40, memoryBytes: 8000 * megabyte };
    expect(runLimits({ language: 'toy', limits, manifest }, configured)).toMatchObject({
      cpus: 2,
      processes: 20,
      openFiles: 40,
      memoryBytes: 8000 * megabyte,
    });
    expect(runLimits({ language: 'other', manifest: {} }, configured)).toMatchObject({ cpus: 2, processes: 10 });
  });
});

describe('a driver', () => {
  const hungry = 'read -r line; exec busybox dd if=/dev/zero of=/dev/null bs=200M count=1';

  it('over its memory is ended, and the request is told so, with the limit', async () => {
    const reference = await buildScriptDriver(folder, { language: 'hungry', script: hungry });
    await using host = serveHost(path.join(folder, 'memory'));
    const limits = { memoryBytes: 40 * megabyte };
    const { driver } = await host.client.request('driver/install', { reference, limits });
    expect(driver.limits).toEqual(limits);
    await expect(host.client.request('parse', { content: 'x', language: 'hungry' })).rejects.toMatchObject({
      kind: 'driverCrashed',
      message: expect.stringContaining('it used more memory than its limit of 41943040 bytes') as string,
      data: { exit: { reason: 'outOfMemory', limitBytes: 40 * megabyte } },
    });
    // An update keeps what was given, unless it gives something else.
    const kept = await host.client.request('driver/install', { reference, update: true });
    expect(kept.driver.limits).toEqual(limits);
    const changed = await host.client.request('driver/install', { reference, update: true, limits: { cpus: 2 } });
    expect(changed.driver.limits).toEqual({ cpus: 2 });
  });

  it('whose child is ended for want of memory is told of, whether it waits for ever or fails', async () => {
    const child = 'read -r line; busybox dd if=/dev/zero of=/dev/null bs=200M count=1';
    const waiting = await buildScriptDriver(folder, { language: 'waiting', script: `${child}; busybox sleep 1000` });
    const failing = await buildScriptDriver(folder, { language: 'failing', script: `${child}; exit 3` });
    await using host = serveHost(path.join(folder, 'child'), ['--limit', 'memoryBytes=40M']);
    for (const reference of [waiting, failing]) await host.client.request('driver/install', { reference });
    // Long before the request's time is over.
    await expect(host.client.request('parse', { content: 'x', language: 'waiting' })).rejects.toMatchObject({
      kind: 'driverCrashed',
      data: { exit: { reason: 'outOfMemory', limitBytes: 40 * megabyte } },
    });
    await expect(host.client.request('parse', { content: 'x', language: 'failing' })).rejects.toMatchObject({
      kind: 'driverCrashed',
      message: expect.stringContaining('exited with status 3, after one of its processes was ended') as string,
      data: { exit: { reason: 'exited', code: 3, outOfMemoryBytes: 40 * megabyte } },
    });
  });

  it('that its manifest limits, or the host, is ended at that', async () => {
    const manifest = 'language = "modest"\n[limits]\nmemoryBytes = 41943040\n';
    const reference = await buildScriptDriver(folder, { language: 'modest', script: hungry, manifest });
    const slow = await buildScriptDriver(folder, { language: 'slow', script: 'busybox sleep 1000' });
    await using host = serveHost(path.join(folder, 'manifest'), ['--limit', 'slow:runTimeMs=300ms']);
    for (const each of [reference, slow]) await host.client.request('driver/install', { reference: each });
    await expect(host.client.request('parse', { content: 'x', language: 'modest' })).rejects.toMatchObject({
      data: { exit: { reason: 'outOfMemory', limitBytes: 40 * megabyte } },
    });
    await expect(host.client.request('parse', { content: 'x', language: 'slow' })).rejects.toMatchObject({
      kind: 'driverCrashed',
      data: { exit: { reason: 'outOfTime', limitMs: 300 } },
    });
  });

  it('whose manifest has limits that are none is refused', async () => {
    const manifest = 'language = "wrong"\n[limits]\nmemory = "lots"\n';
    const reference = await buildScriptDriver(folder, { language: 'wrong', script: 'cat', manifest });
    await using host = serveHost(path.join(folder, 'wrong'));
    await expect(host.client.request('driver/install', { reference })).rejects.toMatchObject({
      kind: 'driverMalformed',
    });
  });
});
