// `npm run soak`: a host on a socket with many clients, while drivers and clients fail in every way that they have. At
// the end: whether each request had exactly one answer, the right one; and whether the host is as it was at the start.
//   --minutes N  how long (default 10)
//   --seed N     of the random choices; the one in use is printed
import { spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { Host } from '../src/host.ts';
import { Client } from '../src/protocol/client.ts';
import { duplexPair } from 'node:stream';
import { SoakClient, type Books, type Outcome } from './soak-client.ts';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' } },
});
const minutes = Number(values.minutes);
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error('--minutes and --seed take numbers');

/** mulberry32: small, and the same for the same seed. */
let state = seed;
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}
const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;

const timeoutMs = 5000;
/** An answer must come within the time of the request, the grace of its driver, and what a loaded machine adds. */
const patienceMs = timeoutMs + 20_000;
const faults = ['exit', 'abort', 'hang', 'garbage', 'half', 'memory', 'noise', 'leak', 'fatal', 'slow', 'late'];

/** What requests may fail of here: what is done to their drivers, and what they do themselves. */
const expected =
  /^(requestCancelled|timeout|driverCrashed|driverProtocol|driverFailed|quarantined|overloaded)( \(of a file\))?$/;

const books: Books = { sent: 0, doubled: 0 };
const counts = { answered: 0, lost: 0, wrong: 0, abandoned: 0, files: 0 };
const failed: Record<string, number> = {};
const injected: Record<string, number> = {};
const interactiveMs: number[] = [];
let late = 0;
let made = 0;

const hashOf = (content: string): string => hash('sha256', content, 'hex');
const count = (of: Record<string, number>, name: string): void => {
  of[name] = (of[name] ?? 0) + 1;
};
const source = (head = ''): string => `${head}\nsource ${seed} ${++made} ${'text '.repeat(Math.floor(random() * 200))}`;

/** Enters an outcome into the books. */
function enter(outcome: Outcome & { elapsedMs: number }, content: string): void {
  if (outcome.kind === 'result') {
    const { uast } = outcome.result as { uast: { hash?: string } | null };
    if (uast?.hash === hashOf(content)) counts.answered += 1;
    else counts.wrong += 1;
  } else if (outcome.kind === 'error') count(failed, outcome.error);
  else counts[outcome.kind] += 1;
  if (outcome.kind !== 'abandoned' && outcome.elapsedMs > timeoutMs + 3000) late += 1;
}

const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-soak-'));
const root = path.join(folder, 'root');
const socket = path.join(folder, 'socket');
const aliveFile = path.join(folder, 'alive');
const stopAt = performance.now() + minutes * 60_000;
const going = (): boolean => performance.now() < stopAt;

await install();
const host = spawn(
  process.execPath,
  [
    ...['--expose-gc', '--import', new URL('soak-preload.ts', import.meta.url).href],
    fileURLToPath(new URL('../src/cli/main.ts', import.meta.url)),
    ...['serve', '--listen', `unix:${socket}`, '--root', root, '--log-level', 'fatal', '--max-instances', '4'],
    ...['--timeout', `${timeoutMs}`, '--retire-requests', '2000', '--retire-memory', '256M', '--quarantine', '5s'],
    ...['--queue-length', '400'],
  ],
  { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, SOAK_MEMORY: aliveFile } },
);
host.stderr.once('data', () => host.stderr.pipe(process.stderr));
const exited = once(host, 'exit');
await once(host.stderr, 'data');
const pid = host.pid ?? 0;

const watcher = await SoakClient.open(socket, { sent: 0, doubled: 0 });
/** Memory in MB by seconds since the start. */
const memory: [number, number][] = [];
const startedAt = performance.now();
await warmUp();
const before = await settled(Infinity);
process.stderr.write(`soaking for ${minutes} min, seed ${seed}, host ${pid}\n`);
const files = await writeFiles(300);
await Promise.all([
  ...Array.from({ length: 3 }, () => interactive()),
  ...Array.from({ length: 3 }, () => busy()),
  ...Array.from({ length: 2 }, () => folderClient()),
  ...Array.from({ length: 2 }, () => hostile()),
  vanishing(),
  cancelling(),
  deaf(),
  killer(),
  sampler(),
]);
const after = await settled(before.descriptors);
host.kill('SIGTERM');
const [status] = (await exited) as [number | null];
await rm(folder, { recursive: true, force: true });
finish();

async function install(): Promise<void> {
  await using installer = await Host.start({ root });
  const [ours, theirs] = duplexPair();
  installer.serve(theirs, theirs);
  using client = new Client(ours, ours);
  const output = `oci:${path.join(folder, 'image')}:latest`;
  await client.request('image/build', { directory: fileURLToPath(new URL('soak-driver', import.meta.url)), output });
  await client.request('driver/install', { reference: output });
}

async function parse(client: SoakClient, content: string): Promise<Outcome & { elapsedMs: number }> {
  const outcome = await client.request('parse', { content, language: 'soak', timeoutMs }, patienceMs);
  enter(outcome, content);
  return outcome;
}

async function warmUp(): Promise<void> {
  const client = await SoakClient.open(socket, { sent: 0, doubled: 0 });
  await Promise.all(
    Array.from({ length: 2000 }, () =>
      client.request('parse', { content: source(), language: 'soak', timeoutMs: 60_000 }, 120_000),
    ),
  );
  client.socket.destroy();
}

/** A person: one request after the other, with pauses. */
async function interactive(): Promise<void> {
  const client = await SoakClient.open(socket, books);
  while (going()) {
    const outcome = await parse(client, source());
    if (outcome.kind === 'result') interactiveMs.push(outcome.elapsedMs);
    await sleep(random() * 50);
  }
  client.socket.destroy();
}

/** A pipeline: many requests in flight, some with large trees. */
async function busy(): Promise<void> {
  const client = await SoakClient.open(socket, books);
  while (going()) {
    const burst = 1 + Math.floor(random() * 60);
    await Promise.all(
      Array.from({ length: burst }, () => parse(client, source(random() < 0.02 ? '@size 4000000' : ''))),
    );
    await sleep(random() * 300);
  }
  client.socket.destroy();
}

async function writeFiles(number: number): Promise<Map<string, string>> {
  const written = new Map<string, string>();
  for (let index = 0; index < number; index += 1) {
    const content = source();
    const file = path.join(folder, `file-${index}`);
    await writeFile(file, content);
    written.set(pathToFileURL(file).href, hashOf(content));
  }
  return written;
}

/** parse/files: each file must come once, with its own tree or an error. */
async function folderClient(): Promise<void> {
  const client = await SoakClient.open(socket, books);
  while (going()) {
    const chosen = [...files.keys()].filter(() => random() < 0.5);
    const left = new Set(chosen);
    const outcome = await client.request(
      'parse/files',
      { uris: chosen, language: 'soak', timeoutMs },
      chosen.length * timeoutMs,
      (value) => {
        for (const result of value as { uri: string; uast?: { hash: string }; error?: { data: { kind: string } } }[]) {
          counts.files += 1;
          if (!left.delete(result.uri)) books.doubled += 1;
          if (result.error !== undefined) count(failed, `${result.error.data.kind} (of a file)`);
          else if (result.uast?.hash !== files.get(result.uri)) counts.wrong += 1;
        }
      },
    );
    if (outcome.kind === 'result') {
      counts.answered += 1;
      counts.lost += left.size;
    } else if (outcome.kind === 'error') count(failed, outcome.error);
    else counts[outcome.kind] += 1;
    await sleep(random() * 500);
  }
  client.socket.destroy();
}

/** Sources that make drivers fail, some of them again and again. */
async function hostile(): Promise<void> {
  const client = await SoakClient.open(socket, books);
  let again = source('@fault exit');
  while (going()) {
    const fault = pick(faults);
    if (fault === 'memory' && random() < 0.7) continue;
    count(injected, fault);
    const content = random() < 0.1 ? again : source(`@fault ${fault}`);
    if (random() < 0.1) again = content;
    await parse(client, content);
    await sleep(random() * 1000);
  }
  client.socket.destroy();
}

/** Clients that leave in the middle. */
async function vanishing(): Promise<void> {
  while (going()) {
    const client = await SoakClient.open(socket, books);
    const requests = Array.from({ length: 1 + Math.floor(random() * 30) }, () => parse(client, source()));
    await sleep(random() * 100);
    client.socket.destroy();
    count(injected, 'vanished client');
    await Promise.all(requests);
    await sleep(random() * 500);
  }
}

async function cancelling(): Promise<void> {
  const client = await SoakClient.open(socket, books);
  while (going()) {
    const id = client.nextId;
    const request = parse(client, source(random() < 0.3 ? '@fault late' : ''));
    await sleep(random() * 10);
    client.cancel(id);
    count(injected, 'cancelled request');
    await request;
    await sleep(random() * 200);
  }
  client.socket.destroy();
}

/** A client that asks for much and reads nothing of it, for a while. */
async function deaf(): Promise<void> {
  while (going()) {
    const client = await SoakClient.open(socket, books);
    client.socket.pause();
    const requests = Array.from({ length: 40 }, () => parse(client, source('@size 3000000')));
    count(injected, 'client that does not read');
    await sleep(Math.min(4000, Math.max(stopAt - performance.now(), 0)));
    // One in two reads at last: then each must have had its answer or its error.
    if (random() < 0.5) client.socket.destroy();
    else client.socket.resume();
    await Promise.all(requests);
    client.socket.destroy();
  }
}

/** SIGKILL and SIGSTOP for whatever runs in the containers. */
async function killer(): Promise<void> {
  while (going()) {
    await sleep(300 + random() * 2500);
    const outcome = await watcher.request('host/instances', {}, patienceMs);
    if (outcome.kind !== 'result') throw new Error(`host/instances: ${JSON.stringify(outcome)}`);
    const { instances } = outcome.result as { instances: { pids: number[] }[] };
    const pids = instances.flatMap((instance) => instance.pids);
    if (pids.length === 0) continue;
    const signal = random() < 0.7 ? 'SIGKILL' : 'SIGSTOP';
    try {
      process.kill(pick(pids), signal);
      count(injected, signal);
    } catch {
      // It has ended by itself meanwhile.
    }
  }
}

async function sampler(): Promise<void> {
  while (going()) {
    memory.push([(performance.now() - startedAt) / 1000, await residentMegabytes()]);
    await sleep(Math.min(1000, Math.max(stopAt - performance.now(), 1)));
  }
}

async function residentMegabytes(): Promise<number> {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

interface Measure {
  readonly instances: number;
  readonly descriptors: number;
  readonly children: number;
  readonly memory: number;
  /** What is alive after a collection, in MB. */
  readonly alive: number;
}

async function aliveMegabytes(): Promise<number> {
  await rm(aliveFile, { force: true });
  process.kill(pid, 'SIGUSR2');
  for (;;) {
    const text = await readFile(aliveFile, 'utf8').catch(() => undefined);
    if (text !== undefined) return (JSON.parse(text) as { megabytes: number }).megabytes;
    await sleep(50);
  }
}

async function measure(): Promise<Measure> {
  const outcome = await watcher.request('host/status', {}, patienceMs);
  if (outcome.kind !== 'result') throw new Error(`host/status: ${JSON.stringify(outcome)}`);
  const { pools } = outcome.result as { pools: { instances: number; starting: number }[] };
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ').filter(Boolean).length;
  return {
    instances: pools.reduce((sum, pool) => sum + pool.instances + pool.starting, 0),
    descriptors: (await readdir(`/proc/${pid}/fd`)).length,
    children,
    memory: await residentMegabytes(),
    alive: await aliveMegabytes(),
  };
}

/** The host once it is at rest, with no more than so many descriptors; or after a time in which it must be. */
async function settled(descriptors: number): Promise<Measure> {
  const until = performance.now() + 60_000;
  for (;;) {
    const now = await measure();
    if ((now.instances <= 1 && now.descriptors <= descriptors) || performance.now() > until) return now;
    await sleep(500);
  }
}

/** Least squares over the second half of the samples: growth in MB over that time, and its standard error. */
function growth(): { readonly megabytes: number; readonly error: number; readonly mean: number } {
  const samples = memory.slice(Math.floor(memory.length / 2));
  const n = samples.length;
  const meanX = samples.reduce((sum, [x]) => sum + x, 0) / n;
  const mean = samples.reduce((sum, [, y]) => sum + y, 0) / n;
  const sxx = samples.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const slope = samples.reduce((sum, [x, y]) => sum + (x - meanX) * (y - mean), 0) / sxx;
  const residual = samples.reduce((sum, [x, y]) => sum + (y - mean - slope * (x - meanX)) ** 2, 0);
  const span = (samples.at(-1)?.[0] ?? 0) - (samples[0]?.[0] ?? 0);
  return { megabytes: slope * span, error: span * Math.sqrt(residual / (n - 2) / sxx), mean };
}

function percentile(sorted: readonly number[], part: number): string {
  return `${(sorted[Math.min(Math.floor(part * sorted.length), sorted.length - 1)] ?? NaN).toFixed(1)} ms`;
}

function finish(): void {
  const { megabytes, error, mean } = growth();
  const faulty: string[] = [];
  for (const name of ['lost', 'wrong'] as const) if (counts[name] > 0) faulty.push(`${counts[name]} ${name}`);
  if (books.doubled > 0) faulty.push(`${books.doubled} answered twice`);
  for (const [kind, number] of Object.entries(failed)) if (!expected.test(kind)) faulty.push(`${number} ${kind}`);
  if (late > 0) faulty.push(`${late} answered later than their time and grace`);
  // Samples that follow one another are not independent: the error is taken four times, and what is little is no leak.
  // Resident memory takes some minutes to reach what the largest trees need: a short run tells nothing of it.
  const level = minutes < 5 || megabytes <= 4 * error || megabytes <= 0.15 * mean;
  if (!level) faulty.push('memory grows');
  if (after.alive > before.alive + 8) faulty.push('what is alive grows');
  if (after.descriptors > before.descriptors) faulty.push('descriptors are left');
  if (after.instances > before.instances) faulty.push('instances are left');
  if (status !== 0) faulty.push(`the host ended with status ${String(status)}`);
  const total = Object.values(failed).reduce((sum, each) => sum + each, 0);
  const sorted = interactiveMs.toSorted((a, b) => a - b);
  const list = (of: Record<string, number>): string =>
    Object.entries(of)
      .sort(([, a], [, b]) => b - a)
      .map(([name, number]) => `${name} ${number}`)
      .join(', ');
  const row = (name: string, of: (measured: Measure) => number): string =>
    `${name.padEnd(22)}${of(before).toFixed(0).padStart(8)} → ${of(after).toFixed(0)}`;
  process.stdout.write(`
seed ${seed}, ${minutes} min
requests sent         ${books.sent}, and ${counts.files} files of parse/files
answered              ${counts.answered}
failed                ${total}: ${list(failed)}
given up by clients   ${counts.abandoned}
lost                  ${counts.lost}
answered twice        ${books.doubled}
answered wrongly      ${counts.wrong}
later than allowed    ${late}
faults                ${list(injected)}
interactive requests  ${sorted.length}: p50 ${percentile(sorted, 0.5)}, p99 ${percentile(sorted, 0.99)}, longest ${percentile(sorted, 1)}
${row('instances', ({ instances }) => instances)}
${row('file descriptors', ({ descriptors }) => descriptors)}
${row('child processes', ({ children }) => children)}
${row('memory, MB', (measured) => measured.memory)}
${row('of it alive, MB', ({ alive }) => alive)}
growth of memory      ${megabytes.toFixed(1)} MB (± ${error.toFixed(1)}) on ${mean.toFixed(0)} MB over ${(minutes / 2).toFixed(1)} min
${faulty.length === 0 ? 'sound' : `NOT SOUND: ${faulty.join('; ')}`}
`);
  process.exitCode = faulty.length === 0 ? 0 : 1;
}
