// What goes wrong with sources, drivers and messages: each gets its error, and the host goes on.
import { existsSync } from 'node:fs';
import { open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { buildScriptDriver, cataloguedImage } from '../support/driver-images.ts';
import { serveHost, spawnHost, uriOf, type ServedHost } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

/** A driver that misbehaves as the content of its request tells it to. */
const oddScript = `
while IFS= read -r line; do
  case "$line" in
    *garbage*) echo 'Traceback (most recent call last):' ;;
    *half*) printf '{"status":"ok","err'; busybox sleep 1000 ;;
    *endless*) printf '{"status":"'; while :; do printf '%65536s' x; done ;;
    *twice*) printf '{"status":"ok"}\\n{"status":"ok"}\\n' ;;
    *exit*) echo 'out of cheese' >&2; exit 3 ;;
    *hang*) busybox sleep 1000 ;;
    *fatal*) printf '{"status":"FATAL","errors":["cannot"],"ast":null}\\n' ;;
    *) printf '{"status":"OK","errors":[],"ast":{"fine":true}}\\n' ;;
  esac
done`;

let folder: string;
let host: ServedHost;

/** Answers each request twice: at once, or after a while. */
const chattyScript = `
while read -r line; do
  case "$line" in
    *later*) printf '{"status":"ok"}\\n'; busybox sleep 0.2; printf '{"status":"ok"}\\n' ;;
    *) printf '{"status":"ok"}\\n{"status":"ok"}\\n' ;;
  esac
done`;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  host = serveHost(path.join(folder, 'root'), ['--max-response-bytes', '8MiB', '--max-message-bytes', '48MiB']);
  const { client } = host;
  const drivers = [
    cataloguedImage(inject('catalogue'), 'python'),
    await buildScriptDriver(folder, { language: 'odd', script: oddScript }),
    await buildScriptDriver(folder, { language: 'dead', script: 'exit 3' }),
    await buildScriptDriver(folder, {
      language: 'chatty',
      script: chattyScript,
    }),
  ];
  for (const reference of drivers) await client.request('driver/install', { reference });
});

afterAll(async () => {
  // The host must have got through all of it, and ends as it should.
  expect(await host.stop()).toBe(0);
  await removeFolder(folder);
});

const fine = async (): Promise<void> => {
  await expect(host.client.request('parse', { content: 'x', language: 'odd' })).resolves.toMatchObject({
    status: 'ok',
    uast: { fine: true },
  });
};

describe('a source', () => {
  it('that is empty is parsed', async () => {
    const result = await host.client.request('parse', { content: '', language: 'python' });
    expect(result).toMatchObject({ language: 'python', status: 'ok', errors: [], mode: 'native' });
    const file = path.join(folder, 'empty.py');
    await writeFile(file, '');
    await expect(host.client.request('parse', { uri: uriOf(file) })).resolves.toMatchObject({ status: 'ok' });
  });

  it('with a syntax error is a result that tells the place', async () => {
    const result = await host.client.request('parse', { content: 'x = 1\ndef f(:\n', language: 'python' });
    expect(result).toMatchObject({ status: 'error', errors: [{ line: 2, column: 7 }] });
  });

  it('that is not UTF-8 is refused, and can be given as bytes', async () => {
    const file = path.join(folder, 'latin.py');
    await writeFile(file, Buffer.from('# -*- coding: latin-1 -*-\nx = "\xe9"\n', 'latin1'));
    await expect(host.client.request('parse', { uri: uriOf(file) })).rejects.toMatchObject({
      kind: 'invalidEncoding',
      message: expect.stringContaining('base64') as string,
    });
    const result = await host.client.request('parse', { uri: uriOf(file), encoding: 'base64' });
    expect(result.status).toBe('ok');
    expect(JSON.stringify(result.uast)).toContain('é');
    await expect(
      host.client.request('parse', { content: '%%%', encoding: 'base64', language: 'python' }),
    ).rejects.toMatchObject({ kind: 'invalidEncoding' });
  });

  it('of 200 MB is refused before it is read', async () => {
    const file = path.join(folder, 'huge.py');
    const handle = await open(file, 'w');
    await handle.truncate(200e6);
    await handle.close();
    await expect(host.client.request('parse', { uri: uriOf(file) })).rejects.toMatchObject({
      kind: 'contentTooLarge',
      data: { contentBytes: 200e6, limitBytes: 32 * 2 ** 20 },
    });
  });

  it('of 200 MB in a message is refused as the request that it is', async () => {
    await expect(
      host.client.request('parse', { content: 'x'.repeat(200e6), language: 'python' }),
    ).rejects.toMatchObject({
      kind: 'contentTooLarge',
    });
    await fine();
  });

  it.each([
    ['that is not there', 'no-such-file.py', 'notFound'],
    ['that is a folder', '.', 'notFound'],
  ])('%s is not found', async (_what, name, kind) => {
    await expect(host.client.request('parse', { uri: uriOf(path.join(folder, name)) })).rejects.toMatchObject({ kind });
  });

  it('under a URI of another kind is not found', async () => {
    await expect(host.client.request('parse', { uri: 'http://localhost/x.py' })).rejects.toMatchObject({
      kind: 'notFound',
    });
    await expect(host.client.request('parse', { uri: 'untitled:1' })).rejects.toMatchObject({ kind: 'notFound' });
  });

  it('of a language that nobody knows is said to be so', async () => {
    await expect(host.client.request('parse', { content: 'x', filename: 'a.zzz' })).rejects.toMatchObject({
      kind: 'languageNotDetected',
    });
  });

  it('of a language without a driver names the language', async () => {
    await expect(host.client.request('parse', { content: 'x', filename: 'a.rs' })).rejects.toMatchObject({
      kind: 'driverNotInstalled',
      data: { language: 'rust' },
    });
    await expect(host.client.request('parse', { content: 'x', language: 'klingon' })).rejects.toMatchObject({
      kind: 'driverNotInstalled',
      data: { language: 'klingon' },
    });
  });

  it('is not parsed in a mode that the driver lacks', async () => {
    await expect(
      host.client.request('parse', { content: 'x', language: 'python', mode: 'semantic' }),
    ).rejects.toMatchObject({ kind: 'modeNotSupported', data: { supported: ['native'] } });
  });
});

describe('a driver', () => {
  it.each([
    ['prints garbage', 'garbage', 'driverProtocol'],
    ['writes a line without end', 'endless', 'responseTooLarge'],
    ['answers twice', 'twice', 'driverProtocol'],
    ['exits in the middle', 'exit', 'driverCrashed'],
    ['says that it failed', 'fatal', 'driverFailed'],
  ])('that %s costs only its own request', async (_what, content, kind) => {
    await expect(host.client.request('parse', { content, language: 'odd' })).rejects.toMatchObject({ kind });
    await fine();
  });

  it('that exits tells its status and its last words', async () => {
    await expect(host.client.request('parse', { content: 'exit again', language: 'odd' })).rejects.toMatchObject({
      data: { exit: { reason: 'exited', code: 3 }, stderr: 'out of cheese\n' },
    });
  });

  it('that exits before it reads is told as crashed, each time', async () => {
    for (const content of ['x', 'y']) {
      await expect(host.client.request('parse', { content, language: 'dead' })).rejects.toMatchObject({
        kind: 'driverCrashed',
        data: { exit: { reason: 'exited', code: 3 } },
      });
    }
  });

  it('that answers twice at once fails its request, and is ended where it does so later, and another is asked', async () => {
    const ask = (content: string) => host.client.request('parse', { content, language: 'chatty' });
    const pool = async () => {
      const { pools } = await host.client.request('host/status', {});
      return pools.find(({ language }) => language === 'chatty');
    };
    for (const round of [1, 2, 3]) {
      await expect(ask(`twice ${round}`)).rejects.toMatchObject({
        kind: 'driverProtocol',
        data: { reason: 'it wrote more than one line' },
      });
      expect(await ask(`later ${round}`)).toMatchObject({ status: 'ok' });
      // Both that answered twice, and the one that did so later: until then its line would be taken for the next answer.
      await expect.poll(async () => (await pool())?.exited).toBe(3 * round);
    }
    expect(await pool()).toMatchObject({ success: 3, failed: 3 });
    await fine();
  });

  it.each(['half', 'hang'])(
    'that stops (%s) frees its client at the deadline and is ended within a second or so',
    async (content) => {
      const { client } = host;
      const startedAt = performance.now();
      await expect(client.request('parse', { content, language: 'odd', timeoutMs: 300 })).rejects.toMatchObject({
        kind: 'timeout',
      });
      expect(performance.now() - startedAt).toBeLessThan(1000);
      const draining = async (): Promise<number> => {
        const { instances } = await client.request('host/instances', { language: 'odd' });
        return instances.filter(({ state }) => state === 'draining').length;
      };
      expect(await draining()).toBe(1);
      await expect.poll(draining, { timeout: 5000 }).toBe(0);
      await fine();
    },
  );

  it('that hangs frees a client that cancels', async () => {
    const controller = new AbortController();
    const request = host.client.request('parse', { content: 'hang', language: 'odd' }, { signal: controller.signal });
    await expect
      .poll(
        async () =>
          (await host.client.request('host/status', {})).pools.find(({ language }) => language === 'odd')?.busy,
      )
      .toBe(1);
    const startedAt = performance.now();
    controller.abort();
    await expect(request).rejects.toMatchObject({ code: -32800 });
    expect(performance.now() - startedAt).toBeLessThan(500);
    await fine();
  });
});

describe('a message', () => {
  it('with an unknown method or wrong parameters is answered with what is wrong', async () => {
    const { client } = host;
    await expect(client.request('parse/everything' as never, {} as never)).rejects.toMatchObject({ code: -32601 });
    await expect(client.request('parse', {})).rejects.toMatchObject({
      code: -32602,
      message: expect.stringContaining('either content or uri') as string,
    });
    await expect(client.request('parse', { content: 3 } as never)).rejects.toMatchObject({
      code: -32602,
      data: { issues: [{ path: 'content' }] },
    });
    await expect(client.request('parse', { content: '', langauge: 'x' } as never)).rejects.toMatchObject({
      code: -32602,
    });
  });

  it('that is broken JSON is answered, and the next one is taken', async () => {
    const child = spawnHost(path.join(folder, 'root'));
    const send = (content: string): void => {
      child.stdin.write(`Content-Length: ${Buffer.byteLength(content)}\r\n\r\n${content}`);
    };
    send('{"jsonrpc": "2.0", "id": 1,');
    send('[{"jsonrpc": "2.0", "id": 1, "method": "host/status"}]');
    send('{"jsonrpc": "2.0", "id": 2}');
    send('{"jsonrpc": "2.0", "id": 3, "method": "driver/list"}');
    child.stdin.end();
    expect(framesIn(await text(child.stdout))).toMatchObject([
      { id: null, error: { code: -32700 } },
      { id: null, error: { code: -32600 } },
      { id: 2, error: { code: -32600 } },
      { id: 3, result: { drivers: expect.anything() as unknown } },
    ]);
  });

  it('that cancels nothing, or says so wrongly, is passed over', async () => {
    const child = spawnHost(path.join(folder, 'root'));
    const frame = (message: object): string => {
      const content = JSON.stringify({ jsonrpc: '2.0', ...message });
      return `Content-Length: ${Buffer.byteLength(content)}\r\n\r\n${content}`;
    };
    const method = '$/cancelRequest';
    for (const params of [undefined, [], null, {}, { id: null }, { id: {} }, { id: 'unknown' }]) {
      child.stdin.write(frame({ method, params }));
    }
    child.stdin.end(frame({ id: 1, method: 'host/languages', params: {} }));
    expect(await text(child.stdout)).toContain('"id":1,"result":');
  });

  it('with a wrong length ends the connection, with an answer that says so', async () => {
    const child = spawnHost(path.join(folder, 'root'));
    child.stdin.write('Content-Length: 9999999999999999999\r\n\r\n{}');
    expect(framesIn(await text(child.stdout))).toMatchObject([{ id: null, error: { code: -32700 } }]);
  });
});

/** The messages of a stream of frames. */
function framesIn(stream: string): unknown[] {
  return stream
    .split(/Content-Length: \d+\r\n\r\n/)
    .slice(1)
    .map((content) => JSON.parse(content) as unknown);
}

describe('a host that is killed', () => {
  it('leaves no client waiting, and nothing of its containers', async () => {
    const other = serveHost(path.join(folder, 'root'));
    const request = other.client.request('parse', { content: 'hang', language: 'odd' });
    let pids: number[] = [];
    await expect
      .poll(async () => {
        const { instances } = await other.client.request('host/instances', {});
        // One whose container boots has none yet.
        pids = instances.flatMap(({ pid }) => pid ?? []);
        return pids.length;
      })
      .toBe(1);
    other.child.kill('SIGKILL');
    await expect(request).rejects.toMatchObject({ kind: 'shuttingDown' });
    await expect(other.client.request('host/status', {})).rejects.toMatchObject({ kind: 'shuttingDown' });
    await expect.poll(() => pids.filter((pid) => existsSync(`/proc/${pid}`)), { timeout: 2000 }).toEqual([]);
  });
});

describe('a client that closes its end', () => {
  it('while a request is in flight still gets the answer, and the host ends', async () => {
    const other = serveHost(path.join(folder, 'root'));
    const answer = other.client.request('parse', { content: 'x = 1', language: 'python' });
    other.child.stdin.end();
    await expect(answer).resolves.toMatchObject({ status: 'ok' });
    expect(await other.ended).toBe(0);
  });

  it('and does not read any more, ends the host and its containers', async () => {
    const other = serveHost(path.join(folder, 'root'), ['--drain', '300ms']);
    void other.client.request('parse', { content: 'hang', language: 'odd' }).catch(() => undefined);
    await expect
      .poll(async () => (await other.client.request('host/instances', {})).instances)
      .toMatchObject([{ state: 'busy' }]);
    other.child.stdout.destroy();
    other.child.stdin.destroy();
    expect(await other.ended).toBe(0);
  });
});
