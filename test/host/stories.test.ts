// Failures that users of Babelfish's server reported, each told as it happened to them, against real containers.
import { once } from 'node:events';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Client } from '../../src/protocol/client.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { startListening } from '../support/listening-host.ts';
import { serveHost, uriOf, type ServedHost } from '../support/served-host.ts';
import { stormOf } from '../support/storm.ts';
import { makeTemporaryFolder, removeFolder, temporaryFolder } from '../support/temporary-folder.ts';

const answer = (ast: string): string => `printf '{"status":"ok","errors":[],"ast":%s}\\n' ${ast}`;

/** Drivers by the way in which they fail, each a script of busybox's shell. */
const scripts = {
  /** Answers with the number that follows `@` in the source: what was asked can be told from it. */
  echo: `
while IFS= read -r line; do
  number=\${line#*@}; number=\${number%%[!0-9]*}
  ${answer('"$number"')}
done`,
  /** As echo, and takes a fiftieth of a second for it. */
  steady: `
while IFS= read -r line; do
  number=\${line#*@}; number=\${number%%[!0-9]*}
  busybox usleep 20000
  ${answer('"$number"')}
done`,
  /** Answers a hundred requests and then none, without ending. */
  stopper: `
n=0
while IFS= read -r line; do
  n=$((n + 1)); [ $n -gt 100 ] && busybox sleep 100000
  number=\${line#*@}; number=\${number%%[!0-9]*}
  ${answer('"$number"')}
done`,
  /** Cannot start. */
  broken: `echo 'no such library' >&2; exit 127`,
  /** Takes its time where the source says so, and dies where it says that. */
  moody: `
while IFS= read -r line; do
  case "$line" in
    *late*) busybox usleep 700000 ;;
    *crash*) exit 134 ;;
    *stuck*) busybox sleep 100000 ;;
  esac
  number=\${line#*@}; number=\${number%%[!0-9]*}
  ${answer('"$number"')}
done`,
  /** A tree of 150 MB for any source. */
  giant: `
block=$(busybox head -c 1000000 /dev/zero | busybox tr '\\0' x)
while IFS= read -r line; do
  printf '{"status":"ok","errors":[],"ast":["'
  n=0; while [ $n -lt 150 ]; do printf '%s' "$block"; n=$((n + 1)); done
  printf '"]}\\n'
done`,
};

let folder: string;
const images: Record<string, string> = {};

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  for (const [language, script] of Object.entries(scripts))
    images[language] = await buildScriptDriver(folder, { language, script });
  images['echo2'] = await buildScriptDriver(folder, { language: 'echo', script: scripts.echo, version: '2' });
});

afterAll(() => removeFolder(folder));

/** A host with a driver installed; it ends with the test, and must end well. */
async function hostWith(language: keyof typeof scripts, ...options: string[]): Promise<ServedHost> {
  return await hostIn({}, language, ...options);
}

/** The same, with these variables in its environment. */
async function hostIn(
  environment: NodeJS.ProcessEnv,
  language: keyof typeof scripts,
  ...options: string[]
): Promise<ServedHost> {
  const host = serveHost(await temporaryFolder(), options, environment);
  onTestFinished(async () => {
    expect(await host.stop()).toBe(0);
  });
  await host.client.request('driver/install', { reference: images[language] ?? '' });
  return host;
}

const parse = async (client: Client, content: string, language: string, timeoutMs = 60_000): Promise<unknown> =>
  (await client.request('parse', { content, language, timeoutMs })).uast;

const poolOf = async (client: Client) => (await client.request('host/status', {})).pools[0];

/** The processes that the host has started and not seen end, by the kernel's word. */
async function containersOf({ client }: ServedHost): Promise<number> {
  const { instances } = await client.request('host/instances', {});
  const alive = await Promise.all(
    instances
      .flatMap(({ pids }) => pids)
      .map((pid) =>
        readdir(`/proc/${pid}`).then(
          () => pid,
          () => undefined,
        ),
      ),
  );
  expect(alive).not.toContain(undefined);
  return instances.length;
}

describe('“3,000 concurrent queries from four clients, then it hung while idle”', () => {
  it('each gets its own answer, and after a pause the next one too', async () => {
    const root = await temporaryFolder();
    const socket = path.join(root, 'socket');
    const { child, ended } = await startListening(socket, root);
    onTestFinished(async () => {
      child.kill('SIGTERM');
      expect((await ended).status).toBe(0);
    });
    const clients = await Promise.all(
      [0, 1, 2, 3].map(async () => {
        const stream = connect(socket);
        await once(stream, 'connect');
        const client = new Client(stream, stream);
        onTestFinished(() => {
          client[Symbol.dispose]();
          stream.destroy();
        });
        return client;
      }),
    );
    const [first] = clients as [Client];
    await first.request('driver/install', { reference: images['echo'] ?? '' });
    const asked = Array.from({ length: 3000 }, (_, number) => number);
    const answers = await Promise.all(
      asked.map((number) => parse(clients[number % 4] ?? first, `query @${number};`, 'echo')),
    );
    expect(answers).toEqual(asked);
    // Idle, until the pool has shrunk; then again.
    await expect.poll(async () => (await poolOf(first))?.instances, { timeout: 60_000 }).toBe(1);
    for (const client of clients) expect(await parse(client, 'again @7;', 'echo')).toBe(7);
    expect(await poolOf(first)).toMatchObject({ success: 3004, failed: 0, waiting: 0, busy: 0 });
  });
});

/** How many are parsed one after another. */
const files = stormOf(10_000, 50_000);

describe('“unresponsive after a thousand of 50,000 files; memory kept; more processes than it reported”', () => {
  it(`${files} files one after another are answered, at the end as fast as at the start`, async () => {
    // V8 doubles its young generation, up to 32 MB, at some round or another: that is not memory that is kept.
    const host = await hostIn({ NODE_OPTIONS: '--max-semi-space-size=4' }, 'echo', '--max-instances', '2');
    const { client } = host;
    await parse(client, 'warm @1;', 'echo');
    const times: number[] = [];
    const resident: number[] = [];
    for (let round = 0; round < 10; round += 1) {
      const startedAt = performance.now();
      for (let file = 0; file < files / 10; file += 1) {
        const number = (round * files) / 10 + file;
        if ((await parse(client, `file @${number};`, 'echo')) !== number)
          throw new Error(`${number} was answered wrongly`);
      }
      times.push(performance.now() - startedAt);
      resident.push((await client.request('host/status', {})).memoryBytes / 2 ** 20);
    }
    // Generous: the machine has other work to do meanwhile. Unresponsive is another thing.
    expect(times.at(-1)).toBeLessThan(5 * (times[0] ?? 0));
    expect((resident.at(-1) ?? 0) - (resident[2] ?? 0)).toBeLessThan(60);
    const pool = await poolOf(client);
    expect(pool).toMatchObject({ success: files + 1, failed: 0, waiting: 0, busy: 0 });
    // Instances are replaced after their 100,000th request, which none has reached.
    expect(pool?.exited).toBe(0);
    expect(await containersOf(host)).toBeLessThanOrEqual(2);
  }, 240_000);
});

describe('“a driver stops answering for good after some files”', () => {
  it('it is replaced, and only the request that met it has to wait', async () => {
    const { client } = await hostWith('stopper', '--max-instances', '1', '--grace', '200ms');
    let failed = 0;
    for (let number = 0; number < 350; number += 1) {
      const outcome = await parse(client, `file @${number};`, 'stopper', 1000).catch((error: unknown) => error);
      if (outcome === number) continue;
      expect(outcome).toMatchObject({ kind: 'timeout' });
      failed += 1;
    }
    expect(failed).toBe(3);
    expect(await poolOf(client)).toMatchObject({ exited: 3, success: 347, failed: 3 });
  });
});

describe('“a driver fails at start, and the server retries for ever while clients wait”', () => {
  it('clients are told at once and why, and another language works meanwhile', async () => {
    const { client } = await hostWith('broken');
    await client.request('driver/install', { reference: images['echo'] ?? '' });
    const startedAt = performance.now();
    for (let request = 0; request < 20; request += 1) {
      await expect(parse(client, `x @${request};`, 'broken')).rejects.toMatchObject({
        kind: 'driverCrashed',
        data: { exit: { reason: 'exited', code: 127 } },
      });
      expect(await parse(client, `x @${request};`, 'echo')).toBe(request);
    }
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    const pools = (await client.request('host/status', {})).pools;
    expect(pools.find(({ language }) => language === 'broken')).toMatchObject({ state: 'failing', waiting: 0 });
    expect(pools.find(({ language }) => language === 'broken')?.exited).toBeLessThan(30);
  });
});

describe('“a parse outlives its deadline, and its answer comes when another has been asked”', () => {
  it('the late answer reaches nobody', async () => {
    const { client } = await hostWith('moody', '--max-instances', '1', '--grace', '2s');
    for (let round = 0; round < 3; round += 1) {
      const late = parse(client, `late @${1000 + round};`, 'moody', 400);
      const next = [1, 2, 3, 4].map((number) => parse(client, `x @${number};`, 'moody'));
      await expect(late).rejects.toMatchObject({ kind: 'timeout' });
      expect(await Promise.all(next)).toEqual([1, 2, 3, 4]);
    }
    // The driver came back in time each time: it was never ended.
    expect(await poolOf(client)).toMatchObject({ exited: 0, instances: 1 });
  });
});

describe('“after a driver crashed in the middle of one request, others fail too”', () => {
  it('only the file that crashes it fails, until it is not given to drivers any more', async () => {
    const { client } = await hostWith('moody', '--max-instances', '2', '--quarantine', '1m');
    const numbers = Array.from({ length: 60 }, (_, number) => number);
    const outcomes = await Promise.all(
      numbers.map((number) =>
        parse(client, number % 20 === 10 ? 'crash' : `x @${number};`, 'moody').catch((error: unknown) => error),
      ),
    );
    for (const number of numbers) {
      if (number % 20 === 10) expect(outcomes[number]).toMatchObject({ kind: 'driverCrashed' });
      else expect(outcomes[number]).toBe(number);
    }
    await expect(parse(client, 'crash', 'moody')).rejects.toMatchObject({ kind: 'quarantined' });
    // Identical requests shared one parse: two instances died of it, and no more.
    expect((await poolOf(client))?.exited).toBe(2);
  });
});

describe('“scaling down ends drivers that are at work”', () => {
  it('a pool that shrinks while requests are in flight loses none of them', async () => {
    const { client } = await hostWith(
      'steady',
      ...['--max-instances', '6', '--scale-tick', '20ms', '--scale-window', '40ms', '--scale-decrease', '1'],
    );
    let most = 0;
    let number = 0;
    for (let wave = 0; wave < 12; wave += 1) {
      // A burst lets the pool grow, a few requests one after another let it shrink while they run.
      const burst = Array.from({ length: 30 }, () => (number += 1));
      expect(await Promise.all(burst.map((each) => parse(client, `x @${each};`, 'steady')))).toEqual(burst);
      most = Math.max(most, (await poolOf(client))?.instances ?? 0);
      for (let each = 0; each < 8; each += 1) {
        number += 1;
        expect(await parse(client, `x @${number};`, 'steady')).toBe(number);
      }
    }
    const pool = await poolOf(client);
    expect(most).toBeGreaterThan(1);
    expect(pool?.exited).toBeGreaterThan(0);
    expect(pool).toMatchObject({ success: number, failed: 0 });
  });
});

describe('“installing and removing drivers under load breaks requests”', () => {
  it('an update under load fails no request, and a removal only with “not installed”', async () => {
    const { client } = await hostWith('echo', '--max-instances', '2');
    let number = 0;
    const stopping = new AbortController();
    onTestFinished(() => {
      stopping.abort();
    });
    const kinds = new Map<unknown, number>();
    const load = Array.from({ length: 6 }, async () => {
      while (!stopping.signal.aborted) {
        number += 1;
        const mine = number;
        const outcome = await parse(client, `x @${mine};`, 'echo').catch((error: unknown) => error);
        const kind = outcome === mine ? 'answered' : ((outcome as { kind?: string }).kind ?? outcome);
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
        // A connection that is closed refuses at once: asking on would leave nothing else a turn.
        if (kind !== 'answered' && kind !== 'driverNotInstalled') return;
      }
    });
    const install = (version: string) =>
      client.request('driver/install', { reference: images[version] ?? '', update: true });
    /** Updates may be as quick as an instance's start: the load then gets its turn after some of them. */
    const more = async (count: number) => {
      const before = kinds.get('answered') ?? 0;
      await expect.poll(() => kinds.get('answered') ?? 0, { timeout: 20_000 }).toBeGreaterThan(before + count);
    };
    for (let round = 0; round < 10; round += 1) {
      await install(round % 2 === 0 ? 'echo2' : 'echo');
      if (round % 3 === 2) await more(30);
    }
    expect([...kinds.keys()]).toEqual(['answered']);
    for (let round = 0; round < 5; round += 1) {
      await client.request('driver/remove', { language: 'echo' });
      await install('echo');
      if (round % 2 === 1) await more(10);
    }
    stopping.abort();
    await Promise.all(load);
    kinds.delete('driverNotInstalled');
    expect([...kinds.keys()]).toEqual(['answered']);
    expect(kinds.get('answered')).toBeGreaterThan(100);
    // What was replaced has gone, with its instances.
    await expect.poll(async () => (await client.request('host/status', {})).pools.length).toBe(1);
    expect((await client.request('image/list', {})).images).toHaveLength(1);
  });
});

describe('“every client fails at 4 MB”', () => {
  it('a file of 6 MB with a tree of 150 MB is answered, while others are served', async () => {
    const host = await hostWith('giant');
    const { client } = host;
    await client.request('driver/install', { reference: images['echo'] ?? '' });
    const directory = path.join(await temporaryFolder(), 'sources');
    await mkdir(directory);
    const file = path.join(directory, 'large');
    await writeFile(file, 'let x = 1;\n'.repeat(572_000));
    const large = client.request('parse', { uri: uriOf(file), language: 'giant', timeoutMs: 100_000 });
    const content = 'y = 2;\n'.repeat(900_000);
    const sent = client.request('parse', { content, language: 'giant', timeoutMs: 100_000 });
    expect(await parse(client, 'small @5;', 'echo')).toBe(5);
    for (const answered of [await large, await sent]) {
      const [text] = answered.uast as [string];
      expect(text).toHaveLength(150_000_000);
    }
    expect(await parse(client, 'small @6;', 'echo')).toBe(6);
  });
});
