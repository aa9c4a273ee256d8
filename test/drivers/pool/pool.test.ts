import { getEventListeners } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { InstanceBudget } from '../../../src/drivers/pool/budget.ts';
import { defaultDriverLimits } from '../../../src/drivers/limits.ts';
import type { PoolLimits, PoolOptions } from '../../../src/drivers/pool/options.ts';
import { Pool } from '../../../src/drivers/pool/pool.ts';
import type { Priority } from '../../../src/drivers/pool/request-queue.ts';
import { waitingFromNow } from '../../../src/drivers/request.ts';
import { BabelhostError } from '../../../src/base/errors.ts';
import type { DriverProcess } from '../../../src/drivers/process/driver-process.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { driverProcess, echoProgram } from '../../support/driver-process.ts';

const limits: PoolLimits = {
  ...defaultDriverLimits,
  responseBytes: 1 << 20,
  responseDepth: 1000,
  maximumInstances: 2,
  queueLength: 100,
  bootMs: 10_000,
};
const source = { backedUp: false };

function poolOf(program: string, changed: Partial<PoolLimits> = {}, options: Partial<PoolOptions> = {}): Pool {
  const pool = new Pool({
    language: 'test',
    digest: 'sha256:0',
    limits: { ...limits, ...changed },
    budget: new InstanceBudget({ instances: 100, memoryBytes: Infinity }),
    logger: silentLogger(),
    boot: () => Promise.resolve(driverProcess(program)),
    ...options,
  });
  onTestFinished(() => pool.close());
  return pool;
}

const ask = async (
  pool: Pool,
  content: string,
  times: { readonly timeoutMs?: number; readonly queueTimeoutMs?: number } = {},
  signal?: AbortSignal,
  client = source,
  priority: Priority = 'interactive',
): Promise<unknown> => {
  const line = Buffer.from(`${JSON.stringify({ content, encoding: 'utf8' })}\n`);
  const answer = await pool.request({
    line,
    timing: waitingFromNow({ timeoutMs: 20_000, queueTimeoutMs: 20_000, ...times }),
    client: client,
    priority,
    ...(signal !== undefined && { signal }),
  });
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
    expect(pool.counts).toMatchObject({ busy: 0, starting: 0, waiting: 0, success: 90, failed: 0, exited: 0 });
    expect(pool.counts.instances).toBeLessThanOrEqual(3);
    expect(pool.latencies?.p99).toBeGreaterThan(0);
  });

  it('leaves no listener on a signal that thousands of requests have, and warns of none', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error): void => {
      warnings.push(warning);
    };
    process.on('warning', warned);
    onTestFinished(() => {
      process.off('warning', warned);
    });
    const pool = poolOf(echoProgram, { queueLength: 2000 });
    const { signal } = new AbortController();
    const answers = contents(2000).map((content) => ask(pool, content, {}, signal));
    expect(getEventListeners(signal, 'abort')).toHaveLength(2000);
    await Promise.all(answers);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(warnings).toEqual([]);
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
    // It was tried once more elsewhere: two instances died of it.
    expect(pool.counts).toMatchObject({ exited: 2, success: 10, failed: 1 });
  });

  it('tries a request once more when its driver died without its fault', async () => {
    const pool = poolOf(
      // Each process answers once and dies of its second request, whatever that is.
      `let n = 0; eachLine(({ content }) => { n += 1; if (n > 1) process.exit(9); answer({ status: 'ok', ast: content }); });`,
      { maximumInstances: 1 },
    );
    for (const content of contents(6)) expect(await ask(pool, content)).toBe(content);
    expect(pool.counts).toMatchObject({ success: 6, failed: 0 });
  });

  it('gives nobody another’s answer when a driver that returns ids answers twice', async () => {
    const pool = poolOf(
      // The second answer to the first request comes when the second has been written, and so on.
      `let late = ''; eachLine(({ id, content }) => {
        process.stdout.write(late || JSON.stringify({ id, status: 'ok', ast: content }) + '\\n');
        late = JSON.stringify({ id, status: 'ok', ast: content }) + '\\n';
      });`,
      { maximumInstances: 1 },
      { requestIds: true },
    );
    for (const content of contents(6)) expect(await ask(pool, content)).toBe(content);
    expect(pool.counts).toMatchObject({ success: 6, failed: 0, exited: 5 });
  });

  it('tries a request once more when a person ended its instance', async () => {
    const pool = poolOf(`eachLine(({ content }) => setTimeout(() => answer({ status: 'ok', ast: content }), 300));`);
    const request = ask(pool, 'x');
    await expect.poll(() => pool.counts.busy).toBe(1);
    await Promise.all(pool.instances.map((instance) => instance.end()));
    expect(await request).toBe('x');
  });

  it('quarantines a source that has killed two instances, and no other', async () => {
    const program = `eachLine(({ content }) => content === 'bad' ? process.exit(9) : answer({ status: 'ok', ast: content }));`;
    const pool = poolOf(program, { quarantineMs: 60_000 });
    await ask(pool, 'good');
    await expect(ask(pool, 'bad')).rejects.toMatchObject({ kind: 'driverCrashed' });
    const { exited } = pool.counts;
    await expect(ask(pool, 'bad')).rejects.toMatchObject({
      kind: 'quarantined',
      data: { deaths: 2, retryAfterMs: expect.any(Number) as number },
    });
    expect(pool.counts.exited).toBe(exited);
    expect(await ask(pool, 'good')).toBe('good');
  });

  it('gives up on a driver that dies whatever it is asked, says why, and tries again later', async () => {
    let broken = true;
    let starts = 0;
    const pool = poolOf(
      '',
      { maximumInstances: 1 },
      {
        boot: () => {
          starts += 1;
          return Promise.resolve(driverProcess(broken ? `console.error('secret'); process.exit(7);` : echoProgram));
        },
      },
    );
    for (const content of ['a', 'b']) await expect(ask(pool, content)).rejects.toMatchObject({ kind: 'driverCrashed' });
    // Two deaths for each: two sources, each quarantined. The third one shows that it is the driver.
    await expect(ask(pool, 'c')).rejects.toMatchObject({ kind: 'driverCrashed', data: { exit: { code: 7 } } });
    expect(pool.state).toBe('failing');
    const before = starts;
    const refused = await ask(pool, 'd').catch((error: unknown) => error);
    expect(refused).toMatchObject({ kind: 'driverCrashed', data: { retryAfterMs: expect.any(Number) as number } });
    expect(JSON.stringify((refused as BabelhostError).data)).not.toContain('secret');
    expect(starts).toBe(before);
    broken = false;
    await expect.poll(() => ask(pool, 'e').catch(() => undefined), { interval: 100 }).toEqual({ content: 'e' });
    expect(pool.state).toBe('running');
  });

  it('retires an instance after its number of requests', async () => {
    const pool = poolOf(echoProgram, { maximumInstances: 1, retireRequests: 3 });
    for (const content of contents(10)) expect(await ask(pool, content)).toEqual({ content });
    await expect.poll(() => pool.counts.exited).toBe(3);
    expect(pool.counts).toMatchObject({ success: 10, failed: 0 });
  });

  it.each([
    ['when it has answered', { tickMs: 60_000 }],
    ['while it has nothing to do', { tickMs: 5 }],
  ])('retires an instance at its age, %s', async (_when, changed) => {
    const pool = poolOf(echoProgram, { maximumInstances: 1, retireAgeMs: 300, ...changed });
    expect(await ask(pool, 'a')).toEqual({ content: 'a' });
    const [first] = pool.instances;
    if (changed.tickMs === 5) await expect.poll(() => pool.counts.exited).toBeGreaterThan(0);
    else await expect.poll(async () => [await ask(pool, 'b'), pool.counts.exited > 0][1], { timeout: 5000 }).toBe(true);
    expect((await first?.ended)?.reason).toBe('signaled');
    expect(await ask(pool, 'c')).toEqual({ content: 'c' });
    expect(pool.counts.failed).toBe(0);
  });

  it('retires an instance that holds too much memory', async () => {
    const pool = poolOf(
      echoProgram,
      { tickMs: 5, retireMemoryBytes: 1000 },
      {
        boot: () =>
          Promise.resolve({
            ...driverProcess(echoProgram),
            usage: () => Promise.resolve({ memoryBytes: 2000, cpuMs: 1 }),
          }),
      },
    );
    await ask(pool, 'x');
    await expect.poll(() => pool.counts.exited).toBeGreaterThan(0);
  });

  it('shrinks as the policy wants, and to nothing when it is not used', async () => {
    const pool = poolOf(`eachLine(() => setTimeout(() => answer({ status: 'ok', ast: 1 }), 30));`, {
      maximumInstances: 4,
      tickMs: 10,
      windowMs: 20,
      idleMs: 1000,
    });
    await Promise.all(contents(40).map((content) => ask(pool, content)));
    expect(pool.counts.instances).toBeGreaterThan(1);
    await expect.poll(() => pool.counts.instances).toBe(1);
    await expect.poll(() => pool.counts.instances).toBe(0);
    expect(await ask(pool, 'again')).toBe(1);
  });

  it('that is warmed keeps its minimum without being asked', async () => {
    const pool = poolOf(echoProgram, { minimumInstances: 2, tickMs: 10, windowMs: 20, idleMs: 30 });
    pool.warm();
    await expect.poll(() => pool.counts.instances).toBe(2);
    await Promise.all(pool.instances.map((instance) => instance.end()));
    await expect.poll(() => pool.counts.instances).toBe(2);
  });

  it('shares what all pools may have', async () => {
    const budget = new InstanceBudget({ instances: 2, memoryBytes: Infinity });
    const program = `eachLine(({ content }) => setTimeout(() => answer({ status: 'ok', ast: content }), 20));`;
    const [one, other] = [0, 1].map(() => poolOf(program, { maximumInstances: 2 }, { budget })) as [Pool, Pool];
    const many = contents(60).map((content) => ask(one, content));
    await expect.poll(() => one.counts.instances).toBe(2);
    // The second pool gets its share while the first is still at work.
    expect(await ask(other, 'mine')).toBe('mine');
    expect(one.counts.waiting).toBeGreaterThan(0);
    expect(one.counts.instances + other.counts.instances).toBeLessThanOrEqual(2);
    expect(await Promise.all(many)).toEqual(contents(60));
  });

  it('is not held up by an instance that is stuck', async () => {
    const pool = poolOf(
      `eachLine(({ content }) => { if (content === 'hang') for (;;); answer({ status: 'ok', ast: content }); });`,
      { maximumInstances: 1, graceMs: 100 },
    );
    const hanging = ask(pool, 'hang', { timeoutMs: 500 });
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
    const cancelled = ask(pool, 'cancelled', {}, controller.signal);
    const late = ask(pool, 'late', { queueTimeoutMs: 20 });
    controller.abort();
    await expect(cancelled).rejects.toMatchObject({ name: 'CancelledError' });
    await expect(late).rejects.toMatchObject({
      kind: 'timeout',
      message: expect.stringContaining('--queue-timeout') as string,
      data: { limit: 'queueTimeoutMs', timeoutMs: 20, phase: 'waiting for an instance' },
    });
    expect(await first).toBe(1);
    expect(pool.counts.waiting).toBe(0);
  });

  it('serves others while a client that does not read has requests waiting', async () => {
    const pool = poolOf(echoProgram, { maximumInstances: 1 });
    await ask(pool, 'first');
    const client = { backedUp: true };
    const held = Promise.all(contents(5).map((content) => ask(pool, content, {}, undefined, client)));
    expect(await ask(pool, 'mine')).toEqual({ content: 'mine' });
    expect(pool.counts.waiting).toBe(5);
    client.backedUp = false;
    pool.dispatch();
    expect(await held).toHaveLength(5);
  });

  it('gives each request its time from when the driver has it, however long it waited', async () => {
    const slow = `eachLine(({ content }) => setTimeout(() => answer({ status: 'ok', ast: content }), 40));`;
    const pool = poolOf(slow, { maximumInstances: 1 });
    await ask(pool, 'warm');
    const startedAt = performance.now();
    const answers = await Promise.all(contents(40).map((content) => ask(pool, content, { timeoutMs: 1000 })));
    expect(answers).toEqual(contents(40));
    // The last has waited for longer than it may be parsed.
    expect(performance.now() - startedAt).toBeGreaterThan(1500);
  });

  it('fails those that waited for too long, and names the limit, whatever time they have to be parsed', async () => {
    const slow = `eachLine(({ content }) => setTimeout(() => answer({ status: 'ok', ast: content }), 400));`;
    const pool = poolOf(slow, { maximumInstances: 1 });
    await ask(pool, 'warm');
    const settled = await Promise.allSettled(contents(5).map((content) => ask(pool, content, { queueTimeoutMs: 100 })));
    expect(settled[0]).toEqual({ status: 'fulfilled', value: 'content 0' });
    for (const each of settled.slice(1)) {
      expect(each).toMatchObject({
        status: 'rejected',
        reason: { kind: 'timeout', data: { limit: 'queueTimeoutMs' } },
      });
    }
    // It is not held against them.
    expect(await ask(pool, 'content 4')).toBe('content 4');
  });

  it('lets a request whose driver died wait anew', async () => {
    const pool = poolOf(
      `eachLine(({ content }) => setTimeout(() => content === 'die' ? process.exit(9) : answer({ status: 'ok', ast: content }), 600));`,
      { maximumInstances: 1 },
    );
    await ask(pool, 'warm');
    await expect(ask(pool, 'die', { queueTimeoutMs: 500 })).rejects.toMatchObject({ kind: 'driverCrashed' });
  });

  it('tells those that wait at once when every start of the driver ends in death', async () => {
    const pool = poolOf(`process.exit(7)`, { maximumInstances: 1 });
    const startedAt = performance.now();
    const results = await Promise.allSettled(contents(50).map((content) => ask(pool, content)));
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['rejected']));
    // Not after 50 starts, each later than the one before.
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    expect(pool.counts.exited).toBeLessThan(20);
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
    const again = (): Promise<unknown> => ask(pool, 'again').catch(() => undefined);
    await expect.poll(again, { interval: 50 }).toEqual({ content: 'again' });
    expect(pool.state).toBe('running');
  });

  it('gives up on an instance that takes too long to boot', async () => {
    const pool = poolOf(
      echoProgram,
      { bootMs: 50 },
      {
        boot: (_id, signal) =>
          new Promise((_, reject) => {
            signal.addEventListener('abort', () => {
              reject(new Error('aborted'));
            });
          }),
      },
    );
    await expect(ask(pool, 'x')).rejects.toMatchObject({ kind: 'containerFailed', data: { bootMs: 50 } });
  });

  it('shows what boots, with the id that it will have, until it runs', async () => {
    const booting: { readonly id: string; readonly ready: () => void }[] = [];
    const pool = poolOf(
      '',
      { maximumInstances: 1 },
      {
        boot: (id) =>
          new Promise((resolve) => {
            booting.push({
              id,
              ready: () => {
                resolve({ ...driverProcess(echoProgram), id });
              },
            });
          }),
      },
    );
    const answer = ask(pool, 'x');
    const [boot] = booting;
    expect(boot?.id).toMatch(/^[0-9A-Z]{26}$/);
    expect(pool.starting).toMatchObject([{ id: boot?.id, state: 'starting', language: 'test', digest: 'sha256:0' }]);
    expect(pool.counts).toMatchObject({ starting: 1, instances: 0 });
    boot?.ready();
    expect(await answer).toEqual({ content: 'x' });
    expect(pool.starting).toEqual([]);
    expect(pool.instances).toMatchObject([{ id: boot?.id, state: 'idle' }]);
  });

  it.each([
    ['gives its boot up', true],
    ['cannot give its boot up any more', false],
  ])('starts another for one that a person ended as it booted and that %s, and blames nobody', async (_what, heeds) => {
    const ready: (() => void)[] = [];
    const ended: DriverProcess[] = [];
    const pool = poolOf(
      '',
      { maximumInstances: 1 },
      {
        boot: (_id, signal) => {
          if (ready.length > 0) return Promise.resolve(driverProcess(echoProgram));
          return new Promise((resolve, reject) => {
            ready.push(() => {
              const driver = driverProcess(echoProgram);
              ended.push(driver);
              resolve(driver);
            });
            signal.addEventListener('abort', () => {
              if (heeds) reject(new Error('aborted'));
            });
          });
        },
      },
    );
    const answer = ask(pool, 'x');
    const end = pool.starting[0]?.end();
    if (!heeds) ready[0]?.();
    await end;
    for (const driver of ended) await driver.exited;
    expect(await answer).toEqual({ content: 'x' });
    expect(pool.state).toBe('running');
    expect(pool.startErrors).toBe(0);
    expect(pool.instances.some(({ id }) => ended.some((driver) => driver.id === id))).toBe(false);
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

/** A driver that answers in turn, with how many requests it had then; `what` it does with each before that. */
const counting = (what = ''): string => `
  const lines = []; let busy = false;
  const next = () => { const line = lines.shift(); busy = line !== undefined; if (busy) setTimeout(at, 2, line); };
  const reply = ({ id, content }) => {
    answer({ id, status: 'ok', ast: { content, had: 1 + lines.length } });
    next();
  };
  const at = (request) => { const { content } = request; ${what}; reply(request); };
  eachLine((request) => { lines.push(request); if (!busy) next(); });`;
const pipelined = { requestIds: true, pipelining: true } satisfies Partial<PoolOptions>;

describe('a pool of a driver that takes a request before it has answered the last', () => {
  const askAll = async (pool: Pool, asked: readonly string[], priority: Priority, times = {}) =>
    (await Promise.all(asked.map((content) => ask(pool, content, times, undefined, source, priority)))) as {
      content: string;
      had: number;
    }[];

  it('writes a batch’s requests behind each other, two at a time, and gives each its own answer', async () => {
    const pool = poolOf(counting(), { maximumInstances: 2, queueLength: 1000 }, pipelined);
    const asked = contents(200);
    const answers = await askAll(pool, asked, 'batch');
    expect(answers.map(({ content }) => content)).toEqual(asked);
    expect(Math.max(...answers.map(({ had }) => had))).toBe(2);
    expect(answers.filter(({ had }) => had === 2).length).toBeGreaterThan(50);
    expect(pool.counts).toMatchObject({ success: 200, failed: 0, busy: 0, waiting: 0 });
  });

  it.each([
    ['interactive ones', 'interactive', {}, ''],
    ['long ones', 'batch', {}, 'x'.repeat(65_536)],
    ['those that have little time', 'batch', { queueTimeoutMs: 150 }, ''],
  ] as const)('writes none behind another of %s', async (_what, priority, times, more) => {
    const pool = poolOf(counting(), { maximumInstances: 1, responseBytes: 1 << 24 }, pipelined);
    await ask(pool, 'warm');
    await expect.poll(() => pool.instances[0]?.state).toBe('idle');
    const asked = contents(8).map((content) => content + more);
    for (const { had } of await askAll(pool, asked, priority, times)) expect(had).toBe(1);
  });

  it('has no interactive request wait for two of a batch, while there are any', async () => {
    const pool = poolOf(counting(), { maximumInstances: 1 }, pipelined);
    const batch = askAll(pool, contents(80), 'batch');
    const user = (async () => {
      const had: number[] = [];
      for (const content of contents(10))
        had.push(...(await askAll(pool, [content], 'interactive')).map((each) => each.had));
      return had;
    })();
    expect(await user).toEqual(Array.from({ length: 10 }, () => 1));
    expect(new Set((await batch).map(({ had }) => had))).toEqual(new Set([1]));
  });

  it('loses no request that waits behind one of which the driver dies, and does not blame it', async () => {
    const pool = poolOf(counting(`if (content.startsWith('bad')) process.exit(9)`), { maximumInstances: 2 }, pipelined);
    const asked = Array.from({ length: 60 }, (_, index) => (index % 20 === 10 ? `bad ${index}` : `good ${index}`));
    const settled = await Promise.allSettled(
      asked.map((content) => ask(pool, content, {}, undefined, source, 'batch')),
    );
    for (const [index, outcome] of settled.entries()) {
      if (asked[index]?.startsWith('bad') === true) {
        expect(outcome).toMatchObject({ status: 'rejected', reason: { kind: 'driverCrashed' } });
      } else expect(outcome).toMatchObject({ status: 'fulfilled', value: { content: asked[index] } });
    }
    // Each of the three killed two, and nobody else was tried in vain.
    expect(pool.counts).toMatchObject({ success: 57, failed: 3, exited: 6 });
  });

  it('asks elsewhere what waits behind one that hangs, and in time', async () => {
    const pool = poolOf(
      counting(`if (content === 'hang') for (;;);`),
      { maximumInstances: 2, minimumInstances: 2, graceMs: 100 },
      pipelined,
    );
    pool.warm();
    await expect.poll(() => pool.instances.length).toBe(2);
    await askAll(pool, contents(20), 'batch');
    const hanging = expect(ask(pool, 'hang', { timeoutMs: 3000 }, undefined, source, 'batch')).rejects.toMatchObject({
      kind: 'timeout',
    });
    const answers = await askAll(pool, contents(30), 'batch');
    expect(answers.map(({ content }) => content)).toEqual(contents(30));
    await hanging;
    expect(pool.counts).toMatchObject({ success: 50, failed: 1 });
  });

  it('replaces an instance that never has nothing to do when it is worn out', async () => {
    const pool = poolOf(counting(), { maximumInstances: 1, retireRequests: 10 }, pipelined);
    const answers = await askAll(pool, contents(60), 'batch');
    expect(answers.map(({ content }) => content)).toEqual(contents(60));
    expect(pool.counts.exited).toBeGreaterThanOrEqual(4);
    expect(pool.counts).toMatchObject({ success: 60, failed: 0 });
  });
});
