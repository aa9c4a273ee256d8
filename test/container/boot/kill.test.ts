// Ending containers that do not end by themselves when their channel is closed, and nothing else.
import { readFile, readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { childrenOf } from '../../../src/container/boot/container.ts';
import { ContainerRuntime, newContainerId } from '../../../src/container/index.ts';
import { beginning } from '../../../src/container/guard/starter-connection.ts';
import { runcSettings, Workplace, type TestHost } from '../settings.ts';

describe.each(runcSettings.filter(({ user }) => user === 'root' || user === 'granted'))(
  'a container ($name)',
  (setting) => {
    let place: Workplace;
    let host: TestHost;

    beforeAll(async () => {
      place = await Workplace.make(setting);
      host = await place.host();
      await host.prepare();
    });

    afterAll(async () => {
      await place[Symbol.asyncDispose]();
    });

    /** Asks the starter, as the host does, and waits until it has done what it was asked. */
    async function ask(args: readonly string[]): Promise<void> {
      const [name = ''] = await readdir(place.directory);
      const socket = connect(path.join(place.directory, name, 'start'));
      socket.write(beginning(newContainerId(), 'kill', args));
      await new Promise((resolve) => socket.resume().once('close', resolve));
    }

    /** A process's id in the guard's namespace, and when it was started: proc_pid_status(5), proc_pid_stat(5). */
    async function identify(pid: number): Promise<{ id: string; start: string }> {
      const [status, stat] = await Promise.all(
        ['status', 'stat'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8')),
      );
      const [, id = ''] = /^NSpid:\t\d+\t(\d+)/m.exec(status ?? '') ?? [];
      const start = (stat ?? '').slice((stat ?? '').lastIndexOf(')') + 2).split(' ')[19] ?? '';
      expect([id, start]).toEqual([expect.stringMatching(/^\d+$/), expect.stringMatching(/^\d+$/)]);
      return { id, start };
    }

    it('is killed where somebody has stopped its process 1', async () => {
      const container = await host.boot({ args: ['cat'] });
      const processes = await container.processes();
      process.kill(container.pid, 'SIGSTOP');
      expect(await container.kill()).toEqual({ reason: 'killed' });
      for (const pid of processes) {
        expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
      }
    });

    it('is not killed in the place of another that had the id of its process 1 before', async () => {
      const container = await host.boot({ args: ['cat'] });
      const { id, start } = await identify(container.pid);
      for (const other of [String(Number(start) - 1), String(Number(start) + 1), '0', '-1', 'x'])
        await ask([id, other]);
      // Nor is anything else, whatever is asked: process 1 of the guard, its groups, everything, and nothing.
      for (const other of ['1', '0', '-1', `-${id}`, 'x', '']) await ask([other, start]);
      await ask([id]);
      await ask(['']);
      await container.write('still here\n');
      expect(await container.line()).toBe('still here');
      const exited = container.exited();
      await ask([id, start]);
      // Its command is killed first, which process 1 may report before it is killed itself.
      expect([{ reason: 'killed' }, { reason: 'signaled', signal: 9 }]).toContainEqual(await exited);
    });
  },
);

describe('a further process', () => {
  it('is killed with its command where somebody has stopped both, and no other is', async () => {
    await using place = await Workplace.make({ name: 'root', user: 'root', runtime: 'runc' });
    await using runtime = await ContainerRuntime.open({ directory: place.directory });
    const command = { args: ['sleep', '1000'], env: { PATH: '/bin' }, cwd: '/', user: '' };
    const container = await runtime.boot({ rootfs: place.rootfs, process: command });
    const own = await container.processes();
    const [other, stopped] = [await container.execute(command), await container.execute(command)];
    const pids = [stopped.pid, ...(await childrenOf(stopped.pid))];
    expect(pids).toHaveLength(2);
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    expect(await stopped.kill()).toEqual({ reason: 'killed' });
    // The second is process 1's by now, which has yet to reap it.
    await expect.poll(() => container.processes()).toEqual(own);
    expect(await childrenOf(other.pid)).toHaveLength(1);
    expect(await other.kill()).toEqual({ reason: 'killed' });
    await expect.poll(() => container.processes()).toEqual(own);
  });
});

describe('a container that has ended by itself', () => {
  it('is not killed later on when that is asked for: its process id may be another’s by then', async () => {
    await using place = await Workplace.make({ name: 'root', user: 'root', runtime: 'runc' });
    await using runtime = await ContainerRuntime.open({ directory: place.directory });
    const command = { args: ['true'], env: { PATH: '/bin' }, cwd: '/', user: '' };
    const container = await runtime.boot({ rootfs: place.rootfs, process: command });
    expect(await container.exited).toEqual({ reason: 'exited', code: 0 });
    const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
    const before = timers();
    const ended = container.kill();
    expect(timers()).toBe(before);
    expect(await ended).toEqual({ reason: 'exited', code: 0 });
  });
});
