// Many clients on one host: each has its own cancellation and progress, and none can hold up another, whatever it does.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../src/protocol/client.ts';
import { listeningHost, type ListeningHost } from '../support/listening-host.ts';
import { collect } from '../support/program.ts';

/** Answers with 4 MB where the source says so, after a second where it says slow, at once else. */
const script = `
large=$(busybox head -c 4000000 /dev/zero | busybox tr '\\0' x)
while IFS= read -r line; do
  case "$line" in
    *large*)
      case "$line" in *slow*) busybox sleep 1 ;; esac
      printf '{"status":"ok","errors":[],"ast":"%s"}\\n' "$large" ;;
    *slow*) busybox sleep 1; printf '{"status":"ok","errors":[],"ast":"slow"}\\n' ;;
    *) printf '{"status":"ok","errors":[],"ast":"quick"}\\n' ;;
  esac
done`;

let host: ListeningHost;

beforeAll(async () => {
  host = await listeningHost({ language: 'echo', script }, ['--max-instances', '2', '--timeout', '20s']);
});

afterAll(async () => {
  await host[Symbol.asyncDispose]();
});

async function clientOf(): Promise<{ client: Client; stream: Socket } & Disposable> {
  const stream = connect(host.socket);
  await once(stream, 'connect');
  const client = new Client(stream, stream);
  return {
    client,
    stream,
    [Symbol.dispose]: () => {
      client[Symbol.dispose]();
      stream.destroy();
    },
  };
}

const parse = (client: Client, content: string, signal?: AbortSignal) =>
  client.request('parse', { content, language: 'echo' }, signal === undefined ? {} : { signal });

const frame = (message: object): string => {
  const content = JSON.stringify({ jsonrpc: '2.0', ...message });
  return `Content-Length: ${Buffer.byteLength(content)}\r\n\r\n${content}`;
};

async function residentMegabytes(): Promise<number> {
  const status = await readFile(`/proc/${host.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** Processor time of the host so far. */
async function processorMs(): Promise<number> {
  const fields = (await readFile(`/proc/${host.pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  // utime and stime (proc(5)), of the fields that follow the name; a tick is ten milliseconds.
  return 10 * (Number(fields[11]) + Number(fields[12]));
}

/** Asks every now and then until `work` is done. @returns the longest that an answer took, in milliseconds */
async function meanwhile(client: Client, work: Promise<unknown>): Promise<number> {
  let longest = 0;
  let going = true as boolean;
  const done = work.finally(() => (going = false));
  while (going) {
    const startedAt = performance.now();
    expect(await parse(client, `quick ${startedAt}`)).toMatchObject({ uast: 'quick' });
    longest = Math.max(longest, performance.now() - startedAt);
  }
  await done;
  return longest;
}

describe('a host of many clients', () => {
  it('cancels for the one that cancels, also where ids and sources are the same', async () => {
    using one = await clientOf();
    using other = await clientOf();
    const controller = new AbortController();
    // The first request of each: both have the same id, and share one parse.
    const cancelled = parse(one.client, 'slow', controller.signal).catch((error: unknown) => error);
    const kept = parse(other.client, 'slow');
    setTimeout(() => {
      controller.abort();
    }, 100);
    expect(await cancelled).toMatchObject({ code: -32800 });
    expect(await kept).toMatchObject({ uast: 'slow' });
  });

  it('gives all who share an answer the whole of it, also to one that reads long after the others', async () => {
    using late = await clientOf();
    using other = await clientOf();
    await parse(late.client, 'quick');
    const both = [parse(late.client, 'large and slow'), parse(other.client, 'large and slow')];
    late.stream.pause();
    const whole = 'x'.repeat(4_000_000);
    expect((await both[1])?.uast).toBe(whole);
    // What the answer lay in would be in use again by now, had the first to be done with it given it back.
    for (let round = 0; round < 3; round += 1) await parse(other.client, `large ${round}`);
    late.stream.resume();
    expect((await both[0])?.uast).toBe(whole);
  });

  it('reports progress and results to the one that asked, also where tokens are the same', async () => {
    using one = await clientOf();
    using other = await clientOf();
    const uris = [1, 2, 3].map((number) => `file://${host.folder}/none-${number}`);
    const found: string[][] = [[], []];
    const ask = ({ client }: { client: Client }, which: number) =>
      client.request(
        'parse/files',
        { uris: uris.slice(which), language: 'echo' },
        { onPartialResult: (results) => found[which]?.push(...results.map(({ uri }) => uri)) },
      );
    await Promise.all([ask(one, 0), ask(other, 1)]);
    expect(found.map((each) => each.sort())).toEqual([uris, uris.slice(1)]);
  });

  it('is not held up by one that reads no answers, whose trees wait in bounded memory', async () => {
    using reader = await clientOf();
    await parse(reader.client, 'quick');
    using deaf = await clientOf();
    deaf.stream.pause();
    const before = await residentMegabytes();
    // 400 MB of trees, each of a source of its own.
    const asked = Array.from({ length: 100 }, (_, index) =>
      parse(deaf.client, `large ${index}`).then(
        () => 'answered',
        (error: unknown) => (error as { kind?: string }).kind,
      ),
    );
    const longest = await meanwhile(reader.client, new Promise((resolve) => setTimeout(resolve, 4000)));
    expect(longest).toBeLessThan(2000);
    expect((await residentMegabytes()) - before).toBeLessThan(250);
    // It reads at last: what was not given up meanwhile comes.
    deaf.stream.resume();
    expect(new Set(await Promise.all(asked))).toEqual(new Set(['answered']));
  });

  it('is not held up by one that asks without end and reads nothing', async () => {
    using reader = await clientOf();
    await parse(reader.client, 'quick');
    const deaf = connect(host.socket);
    await once(deaf, 'connect');
    deaf.on('error', () => undefined).pause();
    const before = await residentMegabytes();
    const batch = Array.from({ length: 1000 }, (_, id) => frame({ id, method: 'rpc.discover' })).join('');
    let sent = 0;
    let blocked = false;
    const flood = (async () => {
      while (sent < 200 && !blocked) {
        sent += 1;
        if (deaf.write(batch)) continue;
        blocked = await Promise.race([
          once(deaf, 'drain').then(() => false),
          new Promise<boolean>((resolve) =>
            setTimeout(() => {
              resolve(true);
            }, 3000),
          ),
        ]);
      }
    })();
    expect(await meanwhile(reader.client, flood)).toBeLessThan(2000);
    // The host has stopped to read: the client has nowhere to put more.
    expect(blocked).toBe(true);
    expect((await residentMegabytes()) - before).toBeLessThan(400);
    deaf.destroy();
    expect(await parse(reader.client, 'quick')).toMatchObject({ uast: 'quick' });
  });

  it('is not held up by one that sends what is no request', async () => {
    using reader = await clientOf();
    await parse(reader.client, 'quick');
    const noisy = connect(host.socket);
    await once(noisy, 'connect');
    noisy.on('error', () => undefined).resume();
    const before = await residentMegabytes();
    const batch = frame({ method: 'nothing/known', params: {} }).repeat(1000);
    const flood = (async () => {
      for (let sent = 0; sent < 100; sent += 1) if (!noisy.write(batch)) await once(noisy, 'drain');
    })();
    expect(await meanwhile(reader.client, flood)).toBeLessThan(2000);
    expect((await residentMegabytes()) - before).toBeLessThan(100);
    noisy.destroy();
  });

  it('gives up what a client that vanished has asked for', async () => {
    using watcher = await clientOf();
    const gone = await clientOf();
    const asked = Array.from({ length: 50 }, (_, index) => parse(gone.client, `slow ${index}`).catch(() => undefined));
    const pool = async () => (await watcher.client.request('host/status', {})).pools[0];
    await expect.poll(pool).toMatchObject({ busy: 2 });
    gone[Symbol.dispose]();
    await Promise.all(asked);
    await expect.poll(pool).toMatchObject({ busy: 0, waiting: 0 });
  });

  it('does nothing any more for a client that vanished before its requests were looked at', async () => {
    using watcher = await clientOf();
    await parse(watcher.client, 'quick');
    for (let each = 0; each < 5; each += 1) {
      const gone = connect(host.socket);
      await once(gone, 'connect');
      const written = new Promise((resolve) =>
        gone.write(frame({ id: 1, method: 'host/status' }).repeat(900), resolve),
      );
      await written;
      gone.destroy();
    }
    // In each second that is looked at; the first may still have their end in it.
    const inASecond = async (): Promise<number> => {
      const before = await processorMs();
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return (await processorMs()) - before;
    };
    await inASecond();
    expect(await inASecond()).toBeLessThan(300);
  });

  it('finishes what a client has in flight before it answers its shutdown, and takes no more from it', async () => {
    using one = await clientOf();
    using other = await clientOf();
    const order: string[] = [];
    const slow = parse(one.client, 'slow shutdown').then(() => order.push('slow'));
    const shutdown = one.client.request('shutdown', {}).then(() => order.push('shutdown'));
    await expect(parse(one.client, 'quick')).rejects.toMatchObject({ kind: 'shuttingDown' });
    expect(await parse(other.client, 'quick')).toMatchObject({ uast: 'quick' });
    await Promise.all([slow, shutdown]);
    expect(order).toEqual(['slow', 'shutdown']);
  });

  it.runIf(process.getuid?.() === 0)('refuses another user', async () => {
    const program = `require('net').connect(${JSON.stringify(host.socket)}).on('connect', () => process.exit(0))
      .on('error', ({ code }) => { console.log(code); process.exit(1); });`;
    const stranger = await collect(spawn(process.execPath, ['-e', program], { uid: 65_534, gid: 65_534 }));
    expect(stranger).toMatchObject({ status: 1, stdout: 'EACCES\n' });
  });
});
