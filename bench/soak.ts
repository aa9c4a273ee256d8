// `npm run soak`: a host on a socket with many clients, while drivers and clients fail in every way that they have. At
// the end: whether each request had exactly one answer, the right one; and whether the host is as it was at the start.
//   --minutes N  how long (default 10)
//   --seed N     of the random choices; the one in use is printed
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Books } from './soak/books.ts';
import { SoakedHost } from './soak/host.ts';
import { Random } from './soak/random.ts';
import { report } from './soak/report.ts';
import { Traffic } from './soak/traffic.ts';

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' } },
});
const minutes = Number(values.minutes);
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error('--minutes and --seed take numbers');

const timeoutMs = 5000;
/** The longest that a request may take: it waits and is parsed, and both again where its driver died. */
const longestMs = 4 * timeoutMs;
/** An answer must come within that time, the grace of its driver, and what a loaded machine adds. */
const patienceMs = longestMs + 20_000;
const lateMs = longestMs + 3000;

const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-soak-'));
const host = await SoakedHost.start(folder, {
  options: [
    ...['--max-instances', '4', '--timeout', `${timeoutMs}`, '--queue-timeout', `${timeoutMs}`],
    ...['--queue-length', '400', '--quarantine', '5s'],
    ...['--retire-requests', '2000', '--retire-memory', '256M'],
  ],
  // Enough to see a slope by, and not more for a week than for a day.
  sampleMs: Math.max(1000, minutes * 30),
  patienceMs,
});
const books = new Books(lateMs);
const stopAt = performance.now() + minutes * 60_000;
const traffic = new Traffic({ host, books, random: new Random(seed), stopAt, timeoutMs, patienceMs });
await traffic.warmUp();
const before = await host.settled(Infinity);
process.stderr.write(`soaking for ${minutes} min, seed ${seed}, host ${host.pid}\n`);
const from = Date.now();
await traffic.run(folder);
const to = Date.now();
const after = await host.settled(before.descriptors);
const status = await host.stop();
const memory = (await host.memory()).filter(({ at, collected }) => at >= from && at <= to && !collected);
await rm(folder, { recursive: true, force: true });
const { text, sound } = report({ seed, minutes, books, before, after, memory, status });
process.stdout.write(text);
process.exitCode = sound ? 0 : 1;
