// The host dies, at any instant and in any way: nothing of it is left within two seconds. Others are not touched.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootstrapPath } from '../../src/base/native.ts';
import { eventually, leftovers, settings, Workplace, type TestHost } from './settings.ts';
import { stormOf } from '../support/storm.ts';

/** How many instants of each kind, in each setting. */
const instants = stormOf(1, 3);

async function die(host: TestHost): Promise<void> {
  const ended = once(host.child, 'exit');
  host.child.kill('SIGKILL');
  await ended;
}

describe.each(settings)('when the host dies ($name)', (setting) => {
  let place: Workplace;

  beforeEach(async () => {
    place = await Workplace.make(setting);
  });

  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  const nothingIsLeft = (...hosts: TestHost[]) =>
    eventually(async () => (await leftovers(place.directory, hosts)).length === 0);

  it('at rest: containers, processes, mounts, cgroups and folders go', async () => {
    const host = await place.host();
    const containers = [];
    for (let index = 0; index < 3; index++) {
      containers.push(await host.boot({ args: ['sh', '-c', 'trap "" TERM HUP INT; sleep 1000 & echo up; wait'] }));
    }
    await Promise.all(containers.map((container) => container.line()));
    const processes = (await Promise.all(containers.map((container) => container.processes()))).flat();
    expect(processes).toHaveLength(9);
    await die(host);
    await nothingIsLeft(host);
    for (const pid of processes) await expect(readFile(`/proc/${pid}/cmdline`)).rejects.toThrow();
  });

  it('while it boots containers', async () => {
    for (let instant = 0; instant < instants; instant++) {
      const host = await place.host();
      await host.prepare();
      const boots = Promise.allSettled([1, 2].map(() => host.boot({ args: ['sleep', '1000'] })));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 30));
      await die(host);
      await boots;
      await nothingIsLeft(host);
    }
  });

  it('while it ends containers, and itself', async () => {
    for (let instant = 0; instant < instants; instant++) {
      const host = await place.host();
      const container = await host.boot({ args: ['sleep', '1000'] });
      const ends = Promise.allSettled([container.kill(), host.call('dispose')]);
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 10));
      await die(host);
      await ends;
      await nothingIsLeft(host);
    }
  });

  it('and another host lives: that one goes on', async () => {
    const [dying, living] = await Promise.all([place.host(), place.host()]);
    const doomed = await dying.boot({ args: ['sleep', '1000'] });
    const container = await living.boot({ args: ['cat'] });
    const [name] = (await readdir(place.directory)).filter((folder) => dying.hostNames.has(folder));
    expect(name).toBeDefined();
    await die(dying);
    await eventually(async () => (await readdir(place.directory)).length === 1);
    await expect(readFile(`/proc/${doomed.pid}/cmdline`)).rejects.toThrow();
    await container.write('still here\n', true);
    expect(await container.output()).toMatchObject({ stdout: 'still here\n' });
  });

  it('together with its guard: the kernel ends the containers, and the next host removes the rest', async () => {
    const host = await place.host();
    const { guard } = await host.prepare();
    const container = await host.boot({ args: ['sleep', '1000'] });
    const keeper = Number(/^PPid:\s+(\d+)$/m.exec(await readFile(`/proc/${guard}/status`, 'utf8'))?.[1]);
    // Stopped, so that it sees nothing of the host's end; then killed.
    process.kill(keeper, 'SIGSTOP');
    await die(host);
    process.kill(keeper, 'SIGKILL');
    await eventually(async () =>
      readFile(`/proc/${container.pid}/cmdline`).then(
        () => false,
        () => true,
      ),
    );
    expect(await readdir(place.directory)).toHaveLength(1);
    const next = await place.host();
    await next.prepare();
    await eventually(async () => (await readdir(place.directory)).length === 1);
    expect((await readdir(place.directory)).some((name) => host.hostNames.has(name))).toBe(false);
    await next.end();
    await nothingIsLeft(host, next);
  });

  it('not, but its guard does: the containers are told to have been killed, and the next boot makes a new guard', async () => {
    const host = await place.host();
    const { guard } = await host.prepare();
    const container = await host.boot({ args: ['sleep', '1000'] });
    process.kill(guard, 'SIGKILL');
    expect(await container.exited()).toEqual({ reason: 'killed' });
    expect((await host.run({ args: ['echo', 'again'] })).stdout).toBe('again\n');
  });
});

describe('a folder of hosts', () => {
  it('keeps what is not a dead host’s: files, links, and folders that somebody holds', async () => {
    const place = await Workplace.make({ name: '', user: 'root', runtime: 'runc' });
    await mkdir(path.join(place.directory, 'held'));
    const holder = spawn(bootstrapPath(), ['lock', path.join(place.directory, 'held')], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    await promisify(execFile)(
      'sh',
      ['-c', 'ln -s /etc etc; echo file > file; mkdir -p dead/inner; ln -s /etc dead/etc'],
      {
        cwd: place.directory,
      },
    );
    const host = await place.host();
    await host.prepare();
    await eventually(async () => !(await readdir(place.directory)).includes('dead'));
    expect(await readdir(place.directory)).toEqual(expect.arrayContaining(['etc', 'file', 'held']));
    expect((await readdir('/etc')).length).toBeGreaterThan(10);
    const released = once(holder, 'exit');
    holder.stdin.end();
    await released;
    await host.end();
    await promisify(execFile)('rm', ['-r', 'etc', 'file', 'held'], { cwd: place.directory });
    await place[Symbol.asyncDispose]();
  });
});
