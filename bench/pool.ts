// What the pool costs: many clients on one socket against as many lanes that share drivers without a host between them;
// and requests through a pool to a driver that echoes, against writing to that driver.
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { connect } from 'node:net';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { InstanceBudget } from '../src/drivers/pool/budget.ts';
import { defaultDriverLimits } from '../src/drivers/limits.ts';
import { Pool } from '../src/drivers/pool/pool.ts';
import { waitingFromNow } from '../src/drivers/request.ts';
import { silentLogger } from '../src/base/log.ts';
import { driverProcess, echoProgram } from '../test/support/driver-process.ts';
import { fileOfSize } from './corpus.ts';
import { DriverClient, HostClient } from './line-client.ts';
import { DirectDrivers } from './direct-drivers.ts';
import type { Figure } from './report.ts';
import { program } from './setting.ts';
import { summarise, takeTurns, timed, type Sample } from './statistics.ts';

const clientCounts = [1, 8, 64, 512];
const rounds = 8;
/** Requests of all clients together in a round: enough that the hundredth part of them is no accident. */
const perRound = 1024;

export async function measurePool(root: string): Promise<Figure[]> {
  return [...(await measureItself()), ...(await measureClients(root))];
}

/** One round: latencies in milliseconds and requests a second. */
interface Round {
  readonly p50: number;
  readonly p99: number;
  readonly rate: number;
}

async function measureClients(root: string): Promise<Figure[]> {
  const { file, content } = await fileOfSize(3 * 1024);
  const hints = { language: 'javascript', filename: file };
  const cores = availableParallelism();
  await using drivers = await DirectDrivers.open(root, 'javascript');
  const idle = Array.from({ length: cores }, () => drivers.start().client);
  const waiting: ((client: DriverClient) => void)[] = [];
  const direct = async (content: string): Promise<void> => {
    const client = idle.pop() ?? (await new Promise<DriverClient>((resolve) => waiting.push(resolve)));
    await client.parse(content, hints);
    const next = waiting.shift();
    if (next === undefined) idle.push(client);
    else next(client);
  };
  await using host = await listeningHost(root);
  const figures: Figure[] = [];
  for (const count of clientCounts) {
    const clients = await Promise.all(Array.from({ length: count }, () => host.connect()));
    const found: Record<'through' | 'direct', Round[]> = { through: [], direct: [] };
    // Each request is its own: identical ones in flight would share one parse.
    let made = 0;
    const unique = (): string => `${content}\n// ${++made}`;
    const measure =
      (of: 'through' | 'direct', ask: (lane: number) => Promise<unknown>) => async (): Promise<number> => {
        const round = await oneRound(count, ask);
        found[of].push(round);
        return round.p50;
      };
    await takeTurns(rounds, 1, {
      through: measure('through', async (lane) =>
        clients[lane]?.client.request('parse', { content: unique(), ...hints }),
      ),
      direct: measure('direct', () => direct(unique())),
    });
    for (const { close } of clients) close();
    const sample = (of: 'through' | 'direct', what: keyof Round): Sample =>
      summarise(found[of].slice(1).map((round) => round[what]));
    const baseline = `${count} lanes that share ${cores} drivers in containers`;
    for (const what of ['p50', 'p99', 'rate'] as const) {
      figures.push({
        name: `${count} clients, a 3 KB JavaScript file: ${what === 'rate' ? 'throughput' : what}`,
        unit: what === 'rate' ? 'requests/s' : 'ms',
        value: sample('through', what),
        baseline: { name: baseline, value: sample('direct', what) },
      });
    }
  }
  return figures;
}

/** `lanes` at once, each asking again as soon as it is answered. */
async function oneRound(lanes: number, ask: (lane: number) => Promise<unknown>): Promise<Round> {
  const latencies: number[] = [];
  const startedAt = performance.now();
  let left = perRound;
  await Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      while (left > 0) {
        left -= 1;
        latencies.push(await timed(() => ask(lane)));
      }
    }),
  );
  const elapsed = performance.now() - startedAt;
  latencies.sort((a, b) => a - b);
  const at = (part: number): number => latencies[Math.floor(part * latencies.length)] ?? NaN;
  return { p50: at(0.5), p99: at(0.99), rate: (1000 * latencies.length) / elapsed };
}

async function listeningHost(root: string) {
  const socket = path.join(root, 'bench-socket');
  const options = ['--root', root, '--log-level', 'error', '--max-clients', '600'];
  const child = spawn(process.execPath, [program, 'serve', '--listen', `unix:${socket}`, ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await once(child.stderr, 'data');
  return {
    async connect() {
      const stream = connect(socket);
      await once(stream, 'connect');
      return { client: new HostClient(stream, stream), close: () => stream.destroy() };
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

/** A thousand requests, one after the other and eight at a time, to a driver that echoes. */
async function measureItself(): Promise<Figure[]> {
  const requests = 1000;
  const line = (number: number): Buffer =>
    Buffer.from(`${JSON.stringify({ content: `source ${number}`, encoding: 'utf8' })}\n`);
  const guest = driverProcess(echoProgram);
  const driver = new DriverClient(guest.stdout, guest.stdin);
  const pool = new Pool({
    language: 'echo',
    digest: 'sha256:0',
    limits: { ...defaultDriverLimits, maximumInstances: 1, retireRequests: 0 },
    budget: new InstanceBudget({ instances: 1, memoryBytes: Infinity }),
    logger: silentLogger(),
    boot: () => Promise.resolve(driverProcess(echoProgram)),
  });
  const source = { backedUp: false };
  const { timeoutMs, queueTimeoutMs } = defaultDriverLimits;
  const ask = async (number: number): Promise<unknown> => {
    const answer = await pool.request({
      line: line(number),
      timing: waitingFromNow({ timeoutMs, queueTimeoutMs }),
      client: source,
      priority: 'interactive',
    });
    // The baseline's client decodes the answer as well.
    return JSON.parse(Buffer.concat(answer.ast).toString());
  };
  try {
    const { through, queued, direct } = await takeTurns(30, 5, {
      through: () =>
        timed(async () => {
          for (let number = 0; number < requests; number += 1) await ask(number);
        }),
      queued: () => timed(() => Promise.all(Array.from({ length: requests }, (_, number) => ask(number)))),
      direct: () =>
        timed(async () => {
          for (let number = 0; number < requests; number += 1) await driver.parse(`source ${number}`, {});
        }),
    });
    const baseline = { name: 'the same driver, written to directly, one after another', value: direct };
    return [
      {
        name: `${requests} requests through the pool to a driver that echoes, one after another`,
        unit: 'ms',
        value: through,
        baseline,
      },
      {
        name: `${requests} requests through the pool to a driver that echoes, all at once`,
        unit: 'ms',
        value: queued,
        baseline,
      },
    ];
  } finally {
    await guest.kill();
    await pool.close();
  }
}
