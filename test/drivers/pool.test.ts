import { describe, expect, it, onTestFinished } from 'vitest';
import { Pool, type PoolLimits, type PoolOptions } from '../../src/drivers/pool.ts';
import { BabelhostError } from '../../src/errors.ts';
import { silentLogger } from '../../src/log.ts';
import { driverProcess, echoProgram } from '../support/driver-process.ts';

const limits: PoolLimits = {
  responseBytes: 1 << 20,
  responseDepth: 1000,
  maximumInstances: 2,
  queueLength: 100,
  graceMs: 1000,
  bootMs: 10_000,
};

function poolOf(program: string, changed: Partial<PoolLimits> = {}, options: Partial<PoolOptions> = {}): Pool {
  const pool = new Pool({
    language: 'test',
    digest: 'sha256:0',
    limits: { ...limits, ...changed },
    logger: silentLogger(),
    boot: () => Promise.resolve(driverProcess(program)),
    ...options,
  });
  onTestFinished(() => pool.close());
  return pool;
}

const ask = async (pool: Pool, content: string, timeoutMs = 20_000, signal?: AbortSignal): Promise<unknown> => {
  const line = Buffer.from(`${JSON.stringify({ content, encoding: 'utf8' })}\n`);
  const answer = await pool.request(line, { deadline: performance.now() + timeoutMs, timeoutMs }, signal);
  return JSON.parse(Buffer.concat(answer.ast).toString());
};

const contents = (count: number): string[] => Array.from({ length: count }, (_, index) => `content ${index}`);

describe('a pool', () => {
  it('starts nothing before it is asked', async () => {
    const pool = poolOf(echoProgram);
    expect(pool.counts).toMatchObject({ instances: 0, starting: 0 });
    await pool.close();
  });

  it('gives each of many requests its own answer, with no more instances than allowed', async () => {
    const pool = poolOf(echoProgram, { maximumInstances: 3 });
    const asked = contents(90);
    const answers = await Promise.all(asked.map((content) => ask(pool, content)));
    expect(answers).toEqual(asked.map((content) => ({ content })));
    expect(pool.counts).toEqual({ instances: 3, busy: 0, starting: 0, waiting: 0, success: 90, failed: 0, exited: 0 });
  });

  it('uses an idle instance again rather than start another', async () => {
    const pool = poolOf(echoProgram);
    for (const content of contents(5)) await ask(pool, content);
    expect(pool.instances).toHaveLength(1);
    expect(pool.instances[0]?.requests).toBe(5);
  });

  it('replaces an instance that died, and loses no request that waited', async () => {
    const pool = poolOf(
      `eachLine(({ content }) => content === 'die' ? process.exit(9) : answer({ status: 'ok', ast: content }));`,
      { maximumInstances: 1 },
    );
    const dying = ask(pool, 'die');
    const waiting = contents(10).map((content) => ask(pool, content));
    await expect(dying).rejects.toMatchObject({ kind: 'driverCrashed', data: { exit: { code: 9 } } });
    expect(await Promise.all(waiting)).toEqual(contents(10));
    expect(pool.counts).toMatchObject({ exited: 1, success: 10, failed: 1 });
  });

  it('is not held up by an instance that is stuck', async () => {
    const pool = poolOf(
      `eachLine(({ content }) => { if (content === 'hang') for (;;); answer({ status: 'ok', ast: content }); });`,
      { maximumInstances: 1, graceMs: 100 },
    );
    const hanging = ask(pool, 'hang', 500);
    const waiting = contents(5).map((content) => ask(pool, content));
    await expect(hanging).rejects.toMatchObject({ kind: 'timeout' });
    expect(await Promise.all(waiting)).toEqual(contents(5));
  });

  it('frees those that cancel or run out of time while they wait', async () => {
    const pool = poolOf(`eachLine(() => setTimeout(() => answer({ status: 'ok', ast: 1 }), 400));`, {
      maximumInstances: 1,
    });
    const first = ask(pool, 'first');
    const controller = new AbortController();
    const cancelled = ask(pool, 'cancelled', 20_000, controller.signal);
    const late = ask(pool, 'late', 20);
    controller.abort();
    await expect(cancelled).rejects.toMatchObject({ name: 'CancelledError' });
    await expect(late).rejects.toMatchObject({ kind: 'timeout', data: { phase: 'waiting for an instance' } });
    expect(await first).toBe(1);
    expect(pool.counts.waiting).toBe(0);
  });

  it('bounds its queue', async () => {
    const pool = poolOf(`eachLine(() => setTimeout(() => answer({ status: 'ok', ast: 1 }), 100));`, {
      maximumInstances: 1,
      queueLength: 3,
    });
    const results = await Promise.allSettled(contents(5).map((content) => ask(pool, content)));
    expect(results.map(({ status }) => status)).toEqual([
      'fulfilled',
      'fulfilled',
      'fulfilled',
      'rejected',
      'rejected',
    ]);
    expect(results[4]).toMatchObject({ reason: { kind: 'overloaded', data: { limit: 3, retryAfterMs: 1000 } } });
  });

  it('tells all that wait why no instance can be started, and tries again for the next', async () => {
    let broken = true;
    const pool = poolOf(
      echoProgram,
      {},
      {
        boot: () =>
          broken
            ? Promise.reject(new BabelhostError('containerFailed', 'No container today.'))
            : Promise.resolve(driverProcess(echoProgram)),
      },
    );
    const results = await Promise.allSettled(contents(6).map((content) => ask(pool, content)));
    expect(new Set(results.map((result) => result.status === 'rejected' && (result.reason as Error).message))).toEqual(
      new Set(['No container today.']),
    );
    expect(pool.state).toBe('failing');
    broken = false;
    expect(await ask(pool, 'again')).toEqual({ content: 'again' });
    expect(pool.state).toBe('running');
  });

  it('gives up on an instance that takes too long to boot', async () => {
    const pool = poolOf(
      echoProgram,
      { bootMs: 50 },
      {
        boot: (signal) =>
          new Promise((_, reject) => {
            signal.addEventListener('abort', () => {
              reject(new Error('aborted'));
            });
          }),
      },
    );
    await expect(ask(pool, 'x')).rejects.toMatchObject({ kind: 'containerFailed', data: { bootMs: 50 } });
  });

  it('finishes what it has when it is drained', async () => {
    const pool = poolOf(`eachLine(({ content }) => setTimeout(() => answer({ status: 'ok', ast: content }), 50));`, {
      maximumInstances: 1,
    });
    const requests = contents(4).map((content) => ask(pool, content));
    const drained = pool.drain(20_000);
    expect(await Promise.all(requests)).toEqual(contents(4));
    await drained;
    expect(pool.instances).toEqual([]);
  });

  it('refuses what waits when it is closed, and leaves no process', async () => {
    const pool = poolOf(`eachLine(() => undefined);`, { maximumInstances: 1 });
    const requests = contents(3).map((content) => ask(pool, content));
    const settled = Promise.allSettled(requests);
    await expect.poll(() => pool.counts.busy).toBe(1);
    const pids = pool.instances.map((instance) => instance.pid);
    await pool.close();
    expect(
      (await settled).map((result) => result.status === 'rejected' && (result.reason as BabelhostError).kind),
    ).toEqual(['driverCrashed', 'shuttingDown', 'shuttingDown']);
    for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    await expect(ask(pool, 'x')).rejects.toMatchObject({ kind: 'shuttingDown' });
  });
});
