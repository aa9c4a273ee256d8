// A client that is gone, and one that has only said all that it had to say: the first is worked for no longer, the second
// gets all its answers.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../src/protocol/client.ts';
import { listeningHost, type ListeningHost } from '../support/listening-host.ts';
import { collect } from '../support/program.ts';
import { mainProgram, serveHost } from '../support/served-host.ts';

/** Never answers where the source says so; with 2 MB, after a moment, or at once else. */
const script = `
large=$(busybox head -c 2000000 /dev/zero | busybox tr '\\0' x)
while IFS= read -r line; do
  case "$line" in
    *never*) busybox sleep 1000 ;;
    *large*) printf '{"status":"ok","errors":[],"ast":"%s"}\\n' "$large" ;;
    *slow*) busybox sleep 0.5; printf '{"status":"ok","errors":[],"ast":"slow"}\\n' ;;
    *) printf '{"status":"ok","errors":[],"ast":"quick"}\\n' ;;
  esac
done`;

let host: ListeningHost;
let watcher: Client;
let watching: Socket;

beforeAll(async () => {
  // A drain that would outlast each test, so that nothing ends because of it; a driver that is given up is ended at once.
  host = await listeningHost({ language: 'echo', script }, [
    '--max-instances',
    '2',
    '--grace',
    '50ms',
    '--drain',
    '100s',
    '--timeout',
    '90s',
  ]);
  watching = connect(host.socket);
  watcher = new Client(watching, watching);
  await watcher.request('parse', { content: 'quick', language: 'echo' });
});

afterAll(async () => {
  watcher[Symbol.dispose]();
  watching.destroy();
  await host[Symbol.asyncDispose]();
});

const frame = (message: object): string => {
  const content = JSON.stringify({ jsonrpc: '2.0', ...message });
  return `Content-Length: ${Buffer.byteLength(content)}\r\n\r\n${content}`;
};
const parse = (id: number, content: string): string =>
  frame({ id, method: 'parse', params: { content, language: 'echo' } });

async function connected(): Promise<Socket> {
  // As shells and Python have it: the end of what the host sends does not close the other direction.
  const stream = connect({ path: host.socket, allowHalfOpen: true });
  stream.on('error', () => undefined);
  await once(stream, 'connect');
  return stream;
}

const pool = async () => (await watcher.request('host/status', {})).pools[0];

/** How long until nothing is worked on or waits any more, in milliseconds. */
async function untilIdle(): Promise<number> {
  const startedAt = performance.now();
  await expect.poll(pool, { interval: 20 }).toMatchObject({ busy: 0, waiting: 0 });
  return performance.now() - startedAt;
}

describe('a client of a socket', () => {
  it('that has closed it is worked for no longer than a second', async () => {
    const stream = await connected();
    stream.write(parse(1, 'never') + parse(2, 'never again') + parse(3, 'never, and waiting'));
    await expect.poll(pool).toMatchObject({ busy: 2, waiting: 1 });
    stream.destroy();
    expect(await untilIdle()).toBeLessThan(1000);
  });

  it('that said that it has nothing more to ask, and closed it later, neither', async () => {
    const stream = await connected();
    stream.end(parse(1, 'never, after the end'));
    await expect.poll(pool).toMatchObject({ busy: 1 });
    // Longer than the host takes to see that a client has gone.
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(await pool()).toMatchObject({ busy: 1 });
    stream.destroy();
    expect(await untilIdle()).toBeLessThan(1000);
  });

  it('that closed it with answers unread, or after its shutdown, neither', async () => {
    for (const last of [parse(3, 'large'), frame({ id: 3, method: 'shutdown' })]) {
      const stream = await connected();
      stream.pause().write(parse(1, 'large') + parse(2, 'never, and deaf') + last);
      await expect.poll(pool).toMatchObject({ busy: 1, waiting: 0 });
      stream.destroy();
      expect(await untilIdle()).toBeLessThan(1000);
    }
  });

  it('that asked for more than is held, and closed it, neither', async () => {
    const stream = await connected();
    // 300 MB of sources as the host counts them, so that it reads no more.
    const large = 'never'.padEnd(10_000_000, 'x');
    for (let id = 0; id < 14; id += 1) stream.write(parse(id, `${large}${id}`));
    await expect.poll(pool).toMatchObject({ busy: 2, waiting: expect.any(Number) as number });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    stream.destroy();
    expect(await untilIdle()).toBeLessThan(1000);
  });

  it('that closed its sending half gets all its answers', async () => {
    const stream = await connected();
    const ids = Array.from({ length: 40 }, (_, id) => id);
    stream.end(ids.map((id) => parse(id, id < 3 ? `slow ${id}` : `large ${id}`)).join(''));
    const answers = (await text(stream)).matchAll(/"id":(\d+),"result":/g);
    expect([...answers].map(([, id]) => Number(id)).sort((a, b) => a - b)).toEqual(ids);
  });

  it('is answered at once after a hundred that left with a thousand requests each', async () => {
    const requests = frame({ id: 1, method: 'host/status' }).repeat(1000);
    const gone = await Promise.all(Array.from({ length: 100 }, connected));
    await Promise.all(gone.map((stream) => new Promise((resolve) => stream.write(requests, resolve))));
    for (const stream of gone) stream.destroy();
    const startedAt = performance.now();
    const stream = await connected();
    const client = new Client(stream, stream);
    await client.request('parse', { content: 'quick', language: 'echo' });
    expect(performance.now() - startedAt).toBeLessThan(1500);
    client[Symbol.dispose]();
    stream.destroy();
  });
});

describe('a client of stdio', () => {
  const root = (): string => path.join(host.folder, 'root');

  it('that has closed both pipes ends the host within a second, one that has closed stdin gets its answers', async () => {
    // Python's pipes are pipes; Node's are sockets.
    const program = `
import subprocess, sys, time
def start():
    return subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
request = sys.argv[1].encode() + b"\\n"
host = start()
host.stdin.write(request.replace(b"WHAT", b"quick") + request.replace(b"WHAT", b"never"))
host.stdin.flush()
host.stdout.readline()
host.stdin.close()
time.sleep(0.7)
assert host.poll() is None
host.stdout.close()
closed = time.monotonic()
host.wait()
print(time.monotonic() - closed)
host = start()
answers, _ = host.communicate(request.replace(b"WHAT", b"slow") + request.replace(b"WHAT", b"quick"))
print(answers.count(b'"status":"ok"'), host.returncode)
`;
    const request = { jsonrpc: '2.0', id: 1, method: 'parse', params: { content: 'WHAT', language: 'echo' } };
    const command = [
      process.execPath,
      mainProgram,
      'serve',
      '--root',
      root(),
      '--log-level',
      'error',
      '--drain',
      '100s',
    ];
    const python = spawn('/usr/bin/python3', ['-c', program, JSON.stringify(request), ...command]);
    const { status, stdout, stderr } = await collect(python);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [seconds, answered] = stdout.trim().split('\n');
    expect(Number(seconds)).toBeLessThan(1.5);
    expect(answered).toBe('2 0');
  });

  it('that has closed both sockets ends the host within a second', async () => {
    const { client, child, ended } = serveHost(root(), ['--drain', '100s', '--log-level', 'error']);
    client.request('parse', { content: 'never', language: 'echo' }).catch(() => undefined);
    await expect.poll(async () => (await client.request('host/status', {})).pools[0]?.busy).toBe(1);
    child.stdin.destroy();
    child.stdout.destroy();
    const startedAt = performance.now();
    expect(await ended).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(1500);
  });
});
