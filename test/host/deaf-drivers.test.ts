// Drivers that do not read what they are asked, or read and write as it pleases them: their clients are answered in time,
// they are replaced, the host holds no more of what was asked than it may, and other drivers go on answering.
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Client } from '../../src/protocol/client.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { startListening } from '../support/listening-host.ts';
import { runProgram } from '../support/program.ts';
import { uriOf } from '../support/served-host.ts';
import { stormOf } from '../support/storm.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

const answer = (ast: string): string => `printf '{"status":"ok","errors":[],"ast":%s}\\n' ${ast}`;

const scripts = {
  echo: `while IFS= read -r line; do ${answer('1')}; done`,
  /** Never reads. */
  deaf: `while :; do busybox sleep 1000; done`,
  /** Reads a byte each second. */
  slow: `while :; do busybox dd bs=1 count=1 of=/dev/null 2>/dev/null; busybox sleep 1; done`,
  /** Answers as soon as there is a byte, and reads no further; the next request is not told from the rest of this one. */
  hasty: `while busybox dd bs=1 count=1 of=/dev/null 2>/dev/null; do ${answer('1')}; busybox sleep 1000; done`,
  /** Writes 100 MB and no end of line. */
  flood: `
block=$(busybox head -c 1000000 /dev/zero | busybox tr '\\0' x)
IFS= read -r line
printf '{"status":"ok","errors":[],"ast":"'
n=0; while [ $n -lt 100 ]; do printf '%s' "$block"; n=$((n + 1)); done
busybox sleep 1000`,
};

const MiB = 1024 ** 2;
/** Longer than what a pipe or a socket takes, by far. */
const large = (mark: number) => `${mark} ${'x = 1;\n'.repeat((30 * MiB) / 7)}`;

let folder: string;
let socket: string;
let pid: number;
let stop: () => Promise<unknown>;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  const root = path.join(folder, 'root');
  socket = path.join(folder, 'socket');
  for (const [language, script] of Object.entries(scripts)) {
    const reference = await buildScriptDriver(folder, { language, script });
    expect(await runProgram(['driver', 'install', reference, '--root', root])).toMatchObject({ status: 0 });
  }
  const { child, ended } = await startListening(socket, root, ['--max-response-bytes', '64M', '--max-instances', '2']);
  pid = child.pid ?? 0;
  stop = async () => {
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ status: 0 });
  };
});
afterAll(async () => {
  await stop();
  await removeFolder(folder);
});

async function client(): Promise<Client> {
  const stream = connect(socket);
  await once(stream, 'connect');
  onTestFinished(() => {
    stream.destroy();
  });
  return new Client(stream, stream);
}

const residentBytes = async (): Promise<number> =>
  1024 * Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]);

/** Asks the other driver again and again, as another client, while something happens; what the host needed most meanwhile. */
async function meanwhile(work: Promise<unknown>): Promise<{ residentBytes: number; answered: number }> {
  const other = await client();
  const over = new AbortController();
  const ended = work.finally(() => {
    over.abort();
  });
  let [most, answered] = [0, 0];
  const looking = setInterval(() => {
    void residentBytes().then((bytes) => (most = Math.max(most, bytes)));
  }, 20);
  while (!over.signal.aborted) {
    expect((await other.request('parse', { content: `y ${answered}`, language: 'echo' })).uast).toBe(1);
    answered += 1;
  }
  clearInterval(looking);
  await ended;
  return { residentBytes: most, answered };
}

/** The instances that are left of a language's, once it has had time to replace what did not come back. */
async function replaced(language: string, ids: readonly string[]): Promise<void> {
  const asking = await client();
  await expect
    .poll(async () => {
      const { instances } = await asking.request('host/instances', { language });
      return instances.filter(({ id, state }) => ids.includes(id) || state === 'draining');
    })
    .toEqual([]);
}

const idsOf = async (language: string): Promise<string[]> =>
  (await (await client()).request('host/instances', { language })).instances.map(({ id }) => id);

describe('a driver that does not read', () => {
  it('times out, is replaced, and costs no more memory than a client may have asked for', async () => {
    const asking = await client();
    const before = await residentBytes();
    const startedAt = performance.now();
    // 720 MB in the full round, of which a client may have 256 with the host at once.
    const requests = Array.from({ length: stormOf(14, 24) }, (_, index) =>
      asking.request('parse', { content: large(index), language: 'deaf', timeoutMs: 1000, queueTimeoutMs: 1000 }).then(
        () => 'answered',
        (error: unknown) => (error as { kind?: string }).kind,
      ),
    );
    await expect.poll(() => idsOf('deaf')).not.toEqual([]);
    const ids = await idsOf('deaf');
    const { residentBytes: most, answered } = await meanwhile(Promise.all(requests));
    expect(new Set(await Promise.all(requests))).toEqual(new Set(['timeout']));
    expect(answered).toBeGreaterThan(0);
    expect((most - before) / MiB).toBeLessThan(650);
    await replaced('deaf', ids);
    // The request's own limit, and not one of the host's; what is sent waits until there is room for it.
    expect(performance.now() - startedAt).toBeLessThan(100_000);
  });

  it('costs no more where files are named than where they are sent', async () => {
    const file = path.join(folder, 'large');
    await writeFile(file, large(0));
    const asking = await client();
    const before = await residentBytes();
    const requests = Array.from({ length: 100 }, () =>
      asking.request('parse', { uri: uriOf(file), language: 'deaf', timeoutMs: 4000, queueTimeoutMs: 4000 }).then(
        () => 'answered',
        (error: unknown) => (error as { kind?: string }).kind,
      ),
    );
    const { residentBytes: most, answered } = await meanwhile(Promise.all(requests));
    expect(new Set(await Promise.all(requests))).toEqual(new Set(['timeout']));
    expect(answered).toBeGreaterThan(0);
    expect((most - before) / MiB).toBeLessThan(650);
  });
});

describe('a driver', () => {
  it.each([
    ['reads a byte a second', 'slow', large(0), 5000, 'timeout'],
    ['writes 100 MB without an end of line', 'flood', 'x', 60_000, 'responseTooLarge'],
  ])('that %s costs its client its own time, and nobody else', async (_what, language, content, timeoutMs, kind) => {
    const asking = await client();
    const request = asking.request('parse', { content, language, timeoutMs });
    const failure = request.then(
      () => 'answered',
      (error: unknown) => (error as { kind?: string }).kind,
    );
    await expect.poll(() => idsOf(language)).not.toEqual([]);
    const ids = await idsOf(language);
    const { answered } = await meanwhile(failure);
    expect(await failure).toBe(kind);
    expect(answered).toBeGreaterThan(0);
    await replaced(language, ids);
  });

  it('that answers without reading has answered, once', async () => {
    const asking = await client();
    const parse = (timeoutMs: number) =>
      asking.request('parse', { content: large(0), language: 'hasty', timeoutMs }).then(
        ({ uast }) => uast,
        (error: unknown) => (error as { kind?: string }).kind,
      );
    const first = parse(20_000);
    await meanwhile(first);
    expect(await first).toBe(1);
    const ids = await idsOf('hasty');
    expect(ids).toHaveLength(1);
    expect(await parse(2000)).toBe('timeout');
    await replaced('hasty', ids);
  });
});
