// Properties of a pool over generated histories: requests of several clients, drivers that fail, starts that fail, clients
// that stop reading, instances that are killed. Drivers are fakes and the clock is the test's, so that hours are seconds.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InstanceBudget } from '../../../src/drivers/pool/budget.ts';
import { defaultDriverLimits } from '../../../src/drivers/limits.ts';
import type { PoolLimits } from '../../../src/drivers/pool/options.ts';
import { Pool } from '../../../src/drivers/pool/pool.ts';
import type { Priority } from '../../../src/drivers/pool/request-queue.ts';
import { CancelledError } from '../../../src/drivers/request.ts';
import { BabelhostError } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { waitingFromNow } from '../../../src/drivers/request.ts';
import { FakeDriver, type Behaviour } from '../../support/fake-driver.ts';

const answers: fc.Arbitrary<Behaviour> = fc
  .integer({ min: 0, max: 400 })
  .map((afterMs) => ({ does: 'answer', afterMs }));
const faults: fc.Arbitrary<Behaviour> = fc.oneof(
  fc.integer({ min: 0, max: 200 }).map((afterMs): Behaviour => ({ does: 'die', afterMs })),
  fc
    .record({ afterMs: fc.nat(200), againMs: fc.integer({ min: 1, max: 500 }) })
    .map((times): Behaviour => ({ does: 'answer twice', ...times })),
  fc.constant<Behaviour>({ does: 'garbage' }),
  fc.constant<Behaviour>({ does: 'hang' }),
);

const request = (behaviour: fc.Arbitrary<Behaviour>) =>
  fc.record({
    step: fc.constant('request' as const),
    client: fc.nat(3),
    priority: fc.constantFrom<Priority>('interactive', 'batch'),
    behaviour,
    count: fc.integer({ min: 1, max: 12 }),
  });
const pass = fc.record({ step: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 3000 }) });
const disturbances = fc.oneof(
  fc.record({ step: fc.constant('kill' as const), which: fc.nat(10) }),
  fc.record({ step: fc.constant('cancel' as const), which: fc.nat(100) }),
  fc.record({ step: fc.constant('clog' as const), client: fc.nat(3), backedUp: fc.boolean() }),
  fc.record({ step: fc.constant('boots' as const), fail: fc.boolean() }),
);
const peaceful = fc.oneof({ weight: 3, arbitrary: request(answers) }, { weight: 2, arbitrary: pass });
const anything = fc.oneof(
  { weight: 4, arbitrary: request(answers) },
  { weight: 2, arbitrary: request(faults) },
  { weight: 4, arbitrary: pass },
  { weight: 3, arbitrary: disturbances },
);
type Step =
  | (typeof peaceful extends fc.Arbitrary<infer Each> ? Each : never)
  | (typeof anything extends fc.Arbitrary<infer Each> ? Each : never);

const shapes = fc
  .record({ minimum: fc.integer({ min: 0, max: 3 }), more: fc.integer({ min: 0, max: 4 }), pipelining: fc.boolean() })
  .map(({ minimum, more, pipelining }) => ({
    minimumInstances: minimum,
    maximumInstances: Math.max(minimum + more, 1),
    pipelining,
  }));

interface Sent {
  readonly id: number;
  readonly behaviour: Behaviour;
  readonly client: number;
  readonly controller: AbortController;
  /** What came, each in its order: there must be one. */
  readonly outcomes: unknown[];
  readonly sentAt: number;
  settledAt?: number;
}

type HistoryOptions = Partial<PoolLimits> & { readonly pipelining?: boolean };

/** A pool of fakes with the books of a test. */
class History {
  readonly clients = Array.from({ length: 4 }, () => ({ backedUp: false }));
  readonly sent: Sent[] = [];
  /** How often each request reached a driver. */
  readonly asked = new Map<number, number>();
  /** When it last did. */
  readonly #askedAt = new Map<number, number>();
  readonly #drivers = new Set<FakeDriver>();
  readonly #limits: PoolLimits;
  readonly #pipelining: boolean;
  readonly pool: Pool;
  bootsFail = false;
  mostAtOnce = 0;

  constructor({ pipelining = false, ...limits }: HistoryOptions) {
    this.#pipelining = pipelining;
    this.#limits = {
      ...defaultDriverLimits,
      queueLength: 10_000,
      graceMs: 1000,
      timeoutMs: 20_000,
      queueTimeoutMs: 20_000,
      quarantineMs: 0,
      idleMs: 0,
      retireRequests: 7,
      ...limits,
    };
    this.pool = new Pool({
      language: 'fake',
      digest: 'sha256:0',
      limits: this.#limits,
      budget: new InstanceBudget({ instances: 100, memoryBytes: Infinity }),
      logger: silentLogger(),
      requestIds: true,
      pipelining,
      boot: () => this.#boot(),
    });
  }

  async #boot(): Promise<FakeDriver> {
    await new Promise((resolve) => setTimeout(resolve, 50));
    if (this.bootsFail) throw new BabelhostError('containerFailed', 'No container today.');
    const driver = new FakeDriver(({ id }) => {
      this.asked.set(id, (this.asked.get(id) ?? 0) + 1);
      this.#askedAt.set(id, performance.now());
    });
    this.#drivers.add(driver);
    this.mostAtOnce = Math.max(this.mostAtOnce, this.alive.length);
    return driver;
  }

  get alive(): FakeDriver[] {
    return [...this.#drivers].filter((driver) => driver.alive);
  }

  send(behaviour: Behaviour, client = 0, priority: Priority = 'interactive', timeoutMs = this.#limits.timeoutMs): Sent {
    const id = this.sent.length;
    const controller = new AbortController();
    const sent: Sent = { id, behaviour, client, controller, outcomes: [], sentAt: performance.now() };
    const settle = (outcome: unknown): void => {
      sent.outcomes.push(outcome);
      sent.settledAt = performance.now();
    };
    this.sent.push(sent);
    const content = JSON.stringify({ id, behaviour });
    this.pool
      .request({
        line: Buffer.from(`${JSON.stringify({ content })}\n`),
        timing: waitingFromNow({ timeoutMs, queueTimeoutMs: this.#limits.queueTimeoutMs }),
        client: this.clients[client] ?? { backedUp: false },
        priority,
        signal: controller.signal,
      })
      .then((answer) => JSON.parse(Buffer.concat(answer.ast).toString()) as unknown)
      .then(settle, settle);
    return sent;
  }

  async pass(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms);
    const { instances, starting, waiting } = this.pool.counts;
    expect(instances + starting).toBeLessThanOrEqual(this.#limits.maximumInstances);
    expect(waiting).toBeLessThanOrEqual(this.#limits.queueLength);
    // Nobody waits beside an instance that has nothing to do.
    const idle = this.pool.instances.filter((instance) => instance.state === 'idle' && !instance.retiring);
    if (this.clients.every(({ backedUp }) => !backedUp)) expect(Math.min(waiting, idle.length)).toBe(0);
  }

  async do(step: Step): Promise<void> {
    switch (step.step) {
      case 'request':
        for (let each = 0; each < step.count; each += 1) this.send(step.behaviour, step.client, step.priority);
        break;
      case 'pass':
        await this.pass(step.ms);
        break;
      case 'kill':
        this.alive[step.which % Math.max(this.alive.length, 1)]?.die();
        break;
      case 'cancel': {
        const sent = this.sent[step.which % Math.max(this.sent.length, 1)];
        sent?.controller.abort();
        await this.pass(0);
        // Whatever its driver does: the client is free at once.
        if (sent !== undefined) expect(sent.outcomes).toHaveLength(1);
        break;
      }
      case 'clog':
        (this.clients[step.client] as { backedUp: boolean }).backedUp = step.backedUp;
        if (!step.backedUp) this.pool.dispatch();
        break;
      case 'boots':
        this.bootsFail = step.fail;
    }
    await this.pass(0);
  }

  /** Lets all be well again, for longer than anything may take. */
  async recover(): Promise<void> {
    this.bootsFail = false;
    for (const client of this.clients) client.backedUp = false;
    this.pool.dispatch();
    await this.pass(120_000);
  }

  /** Each request has had one outcome: its own answer, or a reason that there can be. */
  check(): void {
    const { timeoutMs, queueTimeoutMs } = this.#limits;
    for (const { id, behaviour, outcomes, controller, sentAt, settledAt = Infinity } of this.sent) {
      expect(outcomes).toHaveLength(1);
      // It waits anew where its driver died: at the end of its time, or before it came to the request.
      const askedAt = this.#askedAt.get(id);
      const begunBy = askedAt === undefined ? sentAt + queueTimeoutMs : askedAt + timeoutMs;
      const latest = begunBy + queueTimeoutMs;
      expect(settledAt).toBeLessThanOrEqual(latest + 1);
      const [outcome] = outcomes;
      if (outcome instanceof CancelledError) expect(controller.signal.aborted).toBe(true);
      else if (outcome instanceof BabelhostError) {
        expect(['driverCrashed', 'driverProtocol', 'timeout', 'containerFailed']).toContain(outcome.kind);
      } else {
        expect(['answer', 'answer twice']).toContain(behaviour.does);
        expect(outcome).toBe(id);
      }
      // Once, and once more elsewhere where its driver died; for each of these, once more for nobody where it was displaced.
      expect(this.asked.get(id) ?? 0).toBeLessThanOrEqual(this.#pipelining ? 4 : 2);
    }
    const { busy, waiting, success, failed } = this.pool.counts;
    expect({ busy, waiting }).toEqual({ busy: 0, waiting: 0 });
    expect(success + failed).toBe(this.sent.length);
    expect(this.alive.length).toBe(this.pool.instances.length);
  }
}

async function history(limits: HistoryOptions, run: (history: History) => Promise<void>): Promise<void> {
  const made = new History(limits);
  try {
    await run(made);
  } finally {
    const closed = made.pool.close();
    await vi.advanceTimersByTimeAsync(1000);
    await closed;
  }
  expect(made.alive).toEqual([]);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('whatever happens to it, a pool', () => {
  it('gives each request one outcome, its own, with never more instances than allowed', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, fc.array(anything, { maxLength: 40 }), async (shape, steps) => {
        await history(shape, async (pool) => {
          for (const step of steps) await pool.do(step);
          await pool.recover();
          pool.check();
          expect(pool.mostAtOnce).toBeLessThanOrEqual(shape.maximumInstances);
        });
      }),
      { numRuns: 150 },
    );
  });

  it('works again when what kept it from working is gone', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, fc.array(anything, { maxLength: 30 }), async (shape, steps) => {
        await history(shape, async (pool) => {
          for (const step of steps) await pool.do(step);
          await pool.recover();
          const after = pool.send({ does: 'answer', afterMs: 10 });
          await pool.pass(20_000);
          expect(after.outcomes).toEqual([after.id]);
        });
      }),
      { numRuns: 100 },
    );
  });

  it('keeps its minimum while it is warm and nothing fails, and comes back to it after anything', async () => {
    await fc.assert(
      fc.asyncProperty(
        shapes,
        fc.array(anything, { maxLength: 20 }),
        fc.array(peaceful, { maxLength: 20 }),
        async (shape, before, after) => {
          await history({ ...shape, retireRequests: 0 }, async (pool) => {
            pool.pool.warm();
            for (const step of before) await pool.do(step);
            await pool.recover();
            expect(pool.pool.counts.instances).toBeGreaterThanOrEqual(shape.minimumInstances);
            for (const step of after) {
              await pool.do(step);
              expect(pool.alive.length).toBeGreaterThanOrEqual(shape.minimumInstances);
            }
            await pool.recover();
            pool.check();
          });
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe('where no driver fails, a pool', () => {
  it('answers every request in the time that the work takes, each with its own answer', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, fc.array(peaceful, { maxLength: 40 }), async (shape, steps) => {
        await history({ ...shape, queueTimeoutMs: 300_000 }, async (pool) => {
          for (const step of steps) await pool.do(step);
          // At most 40 * 12 requests of 400 ms, and starts of 50 ms after every seventh.
          await pool.pass(480 * 400 + 70 * 1000);
          for (const { id, outcomes } of pool.sent) expect(outcomes).toEqual([id]);
          // One that waited behind another for too long may be asked twice.
          for (const asked of pool.asked.values()) expect(asked).toBeLessThanOrEqual(shape.pipelining ? 2 : 1);
        });
      }),
      { numRuns: 100 },
    );
  });

  it('keeps nobody waiting for clients that do not read', async () => {
    const clog = fc.record({ step: fc.constant('clog' as const), client: fc.nat(1), backedUp: fc.boolean() });
    const steps = fc.array(fc.oneof({ weight: 2, arbitrary: peaceful }, { weight: 1, arbitrary: clog }), {
      maxLength: 30,
    });
    await fc.assert(
      fc.asyncProperty(shapes, steps, async (shape, before) => {
        await history({ ...shape, queueTimeoutMs: 1_000_000 }, async (pool) => {
          for (const step of before) await pool.do(step);
          await pool.pass(480 * 400);
          const mine = pool.send({ does: 'answer', afterMs: 10 }, 2);
          await pool.pass(200);
          expect(mine.outcomes).toEqual([mine.id]);
          await pool.recover();
          pool.check();
        });
      }),
      { numRuns: 100 },
    );
  });

  it('lets nobody starve: neither a batch under interactive load, nor a client beside one that asks without end', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 5, max: 50 }),
        fc.constantFrom<Priority>('interactive', 'batch'),
        async (maximumInstances, afterMs, priority) => {
          await history({ maximumInstances, retireRequests: 0 }, async (pool) => {
            let flooding = true;
            const flood = (): void => {
              if (!flooding) return;
              // Always more than can be worked off before the next turn.
              for (let each = 0; each < 3 * maximumInstances; each += 1) pool.send({ does: 'answer', afterMs }, 1);
              setTimeout(flood, afterMs);
            };
            flood();
            await pool.pass(1000);
            const mine = pool.send({ does: 'answer', afterMs }, 2, priority, 60_000);
            // Its turn is the tenth of one instance at the latest.
            await pool.pass(100 + 12 * afterMs);
            flooding = false;
            expect(mine.outcomes).toEqual([mine.id]);
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  it('without any request shrinks to nothing where it is not warm', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, fc.array(peaceful, { maxLength: 20 }), async (shape, steps) => {
        await history({ ...shape, idleMs: 60_000, queueTimeoutMs: 300_000 }, async (pool) => {
          for (const step of steps) await pool.do(step);
          await pool.pass(480 * 400 + 70 * 1000 + 60_000 + 10_000);
          expect(pool.alive).toEqual([]);
        });
      }),
      { numRuns: 30 },
    );
  });
});
