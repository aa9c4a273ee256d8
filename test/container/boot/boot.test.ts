// Containers from their start to their end, in every setting.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually, settings, Workplace, type TestHost } from '../settings.ts';
import { stat } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { childrenOf } from '../../../src/container/boot/container.ts';

const megabyte = 1024 * 1024;

async function exists(pid: number): Promise<boolean> {
  return stat(`/proc/${pid}`).then(
    () => true,
    () => false,
  );
}

describe.each(settings)('a container ($name)', (setting) => {
  let place: Workplace;
  let host: TestHost;

  beforeAll(async () => {
    place = await Workplace.make(setting);
    host = await place.host();
  });

  afterAll(async () => {
    await place[Symbol.asyncDispose]();
  });

  it('runs a command with its arguments, environment, working folder and host name', async () => {
    const { exit, stdout, stderr } = await host.run(
      {
        args: ['sh', '-c', 'echo "$0 $1"; echo $GREETING; pwd; hostname; cat; echo oops >&2', 'a b', 'c'],
        env: { GREETING: 'good day' },
        cwd: '/bin',
        hostname: 'elsewhere',
      },
      'from the host\n',
    );
    expect(stdout).toBe('a b c\ngood day\n/bin\nelsewhere\nfrom the host\n');
    expect(stderr).toBe('oops\n');
    expect(exit).toEqual({ reason: 'exited', code: 0 });
  });

  it('tells how its process ended', async () => {
    expect((await host.run({ args: ['sh', '-c', 'exit 3'] })).exit).toEqual({ reason: 'exited', code: 3 });
    expect((await host.run({ args: ['sh', '-c', 'kill -SEGV $$'] })).exit).toEqual({ reason: 'signaled', signal: 11 });
  });

  it('forwards signals to its process', async () => {
    const container = await host.boot({
      args: ['sh', '-c', 'trap "echo got it; exit 7" USR1; echo ready; while :; do sleep 1; done'],
    });
    expect(await container.line()).toBe('ready');
    await container.signal(10);
    expect(await container.line()).toBe('got it');
    expect(await container.exited()).toEqual({ reason: 'exited', code: 7 });
  });

  it('keeps what is written for whoever reads it later', async () => {
    const container = await host.boot({ args: ['sh', '-c', 'echo at once; echo and this >&2'] });
    await container.exited();
    expect(await container.output()).toEqual({ stdout: 'at once\n', stderr: 'and this\n' });
  });

  it('passes megabytes through its pipes', async () => {
    const { stdout } = await host.run({ args: ['cat'] }, 'x'.repeat(5 * megabyte));
    expect(stdout.length).toBe(5 * megabyte);
  });

  it('shows the end of its output when the process closes it', async () => {
    const container = await host.boot({ args: ['sh', '-c', 'echo last; exec >&- 2>&-; exec sleep 1000'] });
    expect(await container.output()).toEqual({ stdout: 'last\n', stderr: '' });
    expect(await container.kill()).toEqual({ reason: 'killed' });
  });

  it('has process 1 and its command as host processes, and ends them when it is killed', async () => {
    const container = await host.boot({ args: ['sh', '-c', 'sleep 1000 & sleep 1000 & echo ready; wait'] });
    await container.line();
    const processes = await container.processes();
    expect(processes).toHaveLength(4);
    expect(processes[0]).toBe(container.pid);
    expect(await container.kill()).toEqual({ reason: 'killed' });
    expect(await Promise.all(processes.map(exists))).toEqual([false, false, false, false]);
    expect(await container.processes()).toEqual([]);
  });

  it('ends what its process leaves behind, and reaps orphans meanwhile', async () => {
    const container = await host.boot({
      // The inner shells end at once: their children become process 1's.
      args: ['sh', '-c', 'for i in 1 2 3; do sh -c "sleep 0 & exit"; done; sh -c "sleep 1000 & exit"; echo ready; cat'],
    });
    await container.line();
    await eventually(async () => (await container.processes()).length === 3);
    const processes = await container.processes();
    await container.write('', true);
    expect(await container.exited()).toEqual({ reason: 'exited', code: 0 });
    expect(await Promise.all(processes.map(exists))).toEqual([false, false, false]);
  });

  it('has no descriptors but stdin, stdout and stderr', async () => {
    // The fourth is the folder that is being listed.
    const { stdout } = await host.run({ args: ['sh', '-c', 'echo /proc/self/fd/*'] });
    expect(stdout).toBe('/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n');
  });

  it('does not start a command that the image lacks, and says so', async () => {
    await expect(host.boot({ args: ['/bin/missing'] })).rejects.toMatchObject({
      kind: 'containerFailed',
      data: { reason: 'ENOENT', command: '/bin/missing' },
    });
    await expect(host.boot({ args: ['/bin'] })).rejects.toMatchObject({ data: { reason: 'EACCES' } });
    await expect(host.boot({ args: ['true'], cwd: '/missing' })).rejects.toMatchObject({ kind: 'containerFailed' });
    await expect(host.boot({ args: ['true'], rootfs: '/missing' })).rejects.toMatchObject({
      kind: 'containerFailed',
      message: 'The root file system /missing cannot be read: install the image again.',
    });
  });

  it('can be given up at any moment of its start, and leaves nothing then', async () => {
    const { guard } = await host.prepare();
    const before = await childrenOf(guard);
    const began = performance.now();
    await (await host.boot({ args: ['sleep', '1000'] })).kill();
    const took = performance.now() - began;
    const giveUp = async (delay: number): Promise<string> => {
      try {
        await (await host.boot({ args: ['sleep', '1000'] }, delay)).kill();
        return 'started';
      } catch (error) {
        return (error as Error).message;
      }
    };
    const givenUp = 'The operation was aborted due to timeout';
    // At once is before any start; a minute after is none of them. Between, it is for chance to say.
    const outcomes = await Promise.all(
      [0, ...[0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.5].map((part) => Math.round(took * part)), 60_000].map(giveUp),
    );
    expect(outcomes[0]).toBe(givenUp);
    expect(outcomes.at(-1)).toBe('started');
    expect(outcomes.filter((outcome) => outcome !== givenUp && outcome !== 'started')).toEqual([]);
    await eventually(async () => isDeepStrictEqual(await childrenOf(guard), before), 20_000);
    expect((await host.run({ args: ['echo', 'next'] })).stdout).toBe('next\n');
  });

  it('is given up when its host is disposed of, which then has nothing left and starts no more', async () => {
    const closing = await place.host();
    const { guard } = await closing.prepare();
    expect(await closing.disposeWhileBooting(3)).toEqual(['shuttingDown', 'shuttingDown', 'shuttingDown']);
    await eventually(async () => !(await exists(guard)), 20_000);
    await expect(closing.boot({ args: ['true'] })).rejects.toMatchObject({ kind: 'shuttingDown' });
  });

  it('starts beside many others', async () => {
    const containers = await Promise.all(
      Array.from({ length: 12 }, (_, index) => host.boot({ args: ['sh', '-c', `echo ${index}; cat`] })),
    );
    expect(await Promise.all(containers.map((container) => container.line()))).toEqual(
      containers.map((_, index) => String(index)),
    );
    expect(new Set(containers.map(({ pid }) => pid)).size).toBe(12);
    await Promise.all(containers.map((container) => container.kill()));
  });
});
