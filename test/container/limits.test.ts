// Each limit of a container is reached, in every setting, and enforced by what the report says.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContainerId } from '../../src/container/index.ts';
import { cgroupKind, hasCgroups, settings, Workplace, type TestHost } from './settings.ts';

const megabyte = 1024 * 1024;
const source = fileURLToPath(new URL('./fixtures/attempts.c', import.meta.url));

describe.each(settings)('limits ($name)', (setting) => {
  const byCgroup = hasCgroups(setting);
  const by = `yes cgroup v${cgroupKind === 'v2' ? 2 : 1}`;
  let place: Workplace;
  let host: TestHost;

  beforeAll(async () => {
    place = await Workplace.make(setting);
    await promisify(execFile)('cc', ['-static', '-O1', '-o', path.join(place.rootfs, 'bin/attempts'), source]);
    host = await place.host();
  });

  afterAll(async () => {
    await place[Symbol.asyncDispose]();
  });

  it('are reported as they are enforced', async () => {
    const { items } = await host.isolation();
    const enforced = Object.fromEntries(items.map((item) => [item.name, `${item.enforced} ${item.by}`.trim()]));
    expect(enforced).toMatchObject(
      byCgroup
        ? { memory: by, cpu: by, processes: by }
        : { memory: 'weaker rlimit', cpu: 'no', processes: 'weaker rlimit' },
    );
    expect(enforced['unprivilegedId']).toBe(`${setting.user === 'own' ? 'weaker' : 'yes'} user namespace`);
    for (const item of items) expect(item.enforced === 'yes').toBe(item.reason === undefined);
  });

  it('end a container that uses up its memory, and say so', async () => {
    const limits = { memoryBytes: 64 * megabyte };
    const { exit, stdout } = await host.run({ args: ['attempts', 'memory-bomb'], limits });
    if (byCgroup) {
      expect(exit).toEqual({ reason: 'outOfMemory', limitBytes: 64 * megabyte });
    } else {
      expect(stdout).toMatch(/^6[0-4] ENOMEM\n$/);
    }
  });

  it('hold against a fork bomb', async () => {
    const limits = { processes: 40 };
    const { exit, stdout } = await host.run({ args: ['attempts', 'fork-bomb'], limits });
    expect(exit).toEqual({ reason: 'exited', code: 0 });
    // Process 1 and the command itself count.
    expect(stdout).toMatch(/^3[78] EAGAIN\n$/);
  });

  it('hold for open files, the size of a file, and what fits into /tmp', async () => {
    const limits = { openFiles: 50, fileSizeBytes: 3 * megabyte, temporaryBytes: 8 * megabyte };
    expect((await host.run({ args: ['attempts', 'open-files'], limits })).stdout).toBe('47 EMFILE\n');
    expect((await host.run({ args: ['attempts', 'disk-bomb', '/tmp/big'], limits })).stdout).toBe('3072 EFBIG\n');
    expect(
      (
        await host.run({
          args: ['attempts', 'disk-bomb', '/tmp/big'],
          limits: { ...limits, fileSizeBytes: 64 * megabyte },
        })
      ).stdout,
    ).toBe('8192 ENOSPC\n');
    expect((await host.run({ args: ['attempts', 'disk-bomb', '/dev/big'], limits })).stdout).toBe('64 ENOSPC\n');
    expect((await host.run({ args: ['attempts', 'disk-bomb', '/dev/shm/big'], limits })).stdout).toBe('3072 EFBIG\n');
  });

  it.runIf(byCgroup)('share out the processor', async () => {
    const container = await host.boot({ args: ['attempts', 'processor-hog'], limits: { cpus: 0.2 } });
    const before = await container.usage();
    const start = performance.now();
    while (performance.now() - start < 1000) await new Promise((resolve) => setTimeout(resolve, 50));
    const after = await container.usage();
    const share = ((after.cpuMs ?? NaN) - (before.cpuMs ?? NaN)) / (performance.now() - start);
    expect(share).toBeLessThan(0.3);
    expect(after.memoryBytes).toBeGreaterThan(0);
    await container.kill();
  });

  it('end a container that has run for as long as it may, and no other', async () => {
    const limits = { runTimeMs: 300 };
    const stubborn = await host.boot({ args: ['sh', '-c', 'trap "" TERM; sleep 1000 & wait'], limits });
    expect(await stubborn.exited()).toEqual({ reason: 'outOfTime', limitMs: 300 });
    expect((await host.run({ args: ['sh', '-c', 'exit 3'], limits })).exit).toEqual({ reason: 'exited', code: 3 });
    const killed = await host.boot({ args: ['sleep', '1000'], limits: { runTimeMs: 600_000 } });
    expect(await killed.kill()).toEqual({ reason: 'killed' });
    await expect(host.boot({ args: ['true'], limits: { runTimeMs: 2 ** 31 } })).rejects.toThrow(
      /^The limit runTimeMs is a whole number up to 2147483647, or 0 for none, not 2147483648\.$/,
    );
  });

  it('can be required to be fully in force', async () => {
    const strict = await place.host({ require: ['seccomp', 'memory'] });
    const booted = strict.run({ args: ['true'] });
    if (byCgroup) await booted;
    else await expect(booted).rejects.toThrow(/^The protection 'memory' is required and is weaker here: /);
    const wrong = await place.host({ require: ['magic'] });
    await expect(wrong.run({ args: ['true'] })).rejects.toThrow(
      /^'magic' is required, but there is no such protection/,
    );
  });

  it('are positive numbers, and an id names one container', async () => {
    for (const limits of [{ memoryBytes: 0 }, { cpus: -1 }, { processes: 1.5 }, { openFiles: NaN }]) {
      await expect(host.run({ args: ['true'], limits })).rejects.toThrow(/^The limit \w+ is a positive number, not /);
    }
    await expect(host.run({ args: ['true'], id: '../escape' as ContainerId })).rejects.toThrow(/is a ULID/);
    const container = await host.boot({ args: ['cat'] });
    await expect(host.boot({ args: ['true'], id: container.id as ContainerId })).rejects.toMatchObject({
      kind: 'conflict',
    });
    // Which has not harmed the one that has it.
    await container.write('still here\n', true);
    expect((await container.output()).stdout).toBe('still here\n');
  });

  it('bound the number of containers', async () => {
    const small = await place.host({ maxContainers: 1 });
    const container = await small.boot({ args: ['sleep', '1000'] });
    await expect(small.boot({ args: ['true'] })).rejects.toMatchObject({
      kind: 'overloaded',
      data: { maxContainers: 1 },
    });
    await container.kill();
    await small.run({ args: ['true'] });
  });
});
