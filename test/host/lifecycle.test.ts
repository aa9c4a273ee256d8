// A connection from its first message to its last, as editors, pipelines and scripts have it.
import { spawn } from 'node:child_process';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { WorkDoneProgress } from '../../src/protocol/client.ts';
import { methods, type FileResult } from '../../src/protocol/methods.ts';
import { cataloguedImage } from '../support/driver-images.ts';
import { serveHost, spawnHost, uriOf } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

let folder: string;
let root: string;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  root = path.join(folder, 'root');
  await using host = serveHost(root);
  await host.client.request('driver/install', { reference: cataloguedImage(inject('catalogue'), 'python') });
});
afterAll(() => removeFolder(folder));

describe('a connection', () => {
  it('says what the host can do, and ends with status 0 after shutdown and exit', async () => {
    const { client, ended } = serveHost(root);
    const hello = await client.request('initialize', { processId: process.pid, clientInfo: { name: 'test' } });
    expect(hello.serverInfo.name).toBe('babelhost');
    expect(hello.capabilities.experimental.methods).toEqual(Object.keys(methods));
    await client.notify('initialized');
    await client.request('shutdown', {});
    for (const method of ['host/status', 'shutdown', 'initialize'] as const) {
      await expect(client.request(method, {})).rejects.toMatchObject({ kind: 'shuttingDown', cause: { code: -32600 } });
    }
    await client.notify('exit');
    expect(await ended).toBe(0);
  });

  it('is initialized once: a second time is refused and changes nothing, one with wrong parameters does not count', async () => {
    await using host = serveHost(root);
    const { client } = host;
    const wrong = { processId: 'x' } as unknown as { processId: number };
    await expect(client.request('initialize', wrong)).rejects.toMatchObject({ code: -32602 });
    await client.request('initialize', { processId: process.pid });
    // A process that has ended: taken for the client's, it would end the host.
    const ended = spawn('true');
    await new Promise((resolve) => ended.once('exit', resolve));
    await expect(client.request('initialize', { processId: ended.pid ?? 0 })).rejects.toMatchObject({
      code: -32600,
      data: { kind: 'invalidRequest' },
    });
    await new Promise((resolve) => setTimeout(resolve, 1500));
    expect(await client.request('driver/list', {})).toMatchObject({ drivers: [{}] });
  });

  it('that exits without shutdown ends with status 1', async () => {
    const { client, ended } = serveHost(root);
    await client.request('host/status', {});
    await client.notify('exit');
    expect(await ended).toBe(1);
  });

  it('needs no hello: a script may write its requests, close its end and read', async () => {
    const child = spawnHost(root);
    const contents = [1, 2, 3].map((id) =>
      JSON.stringify({ jsonrpc: '2.0', id, method: 'parse', params: { content: `x = ${id}`, language: 'py' } }),
    );
    for (const content of contents) child.stdin.write(`Content-Length: ${content.length}\r\n\r\n${content}`);
    child.stdin.end();
    const output = await text(child.stdout);
    expect(output.match(/"status":"ok"/g)).toHaveLength(3);
    expect(output.startsWith('Content-Length: ')).toBe(true);
  });

  it('ends with the process that initialize named', async () => {
    const editor = spawn('sleep', ['1000']);
    const { client, ended } = serveHost(root);
    await client.request('initialize', { processId: editor.pid ?? 0 });
    editor.kill('SIGKILL');
    expect(await ended).toBe(0);
  });

  it('is shut down by SIGTERM within its grace time, and leaves nothing', async () => {
    const { client, child, ended } = serveHost(root);
    await client.request('parse', { content: 'x', language: 'python' });
    child.kill('SIGTERM');
    await ended;
    expect(child.signalCode ?? child.exitCode).not.toBeNull();
  });

  it('passes the log on to a client that asks for it', async () => {
    await using host = serveHost(root, ['--log-level', 'debug']);
    const { client } = host;
    const messages: string[] = [];
    client.onLogMessage(({ message }) => messages.push(message));
    await client.request('parse', { content: 'x', language: 'python' });
    expect(messages).toEqual([]);
    await client.notify('$/setTrace', { value: 'messages' });
    await client.request('host/kill', { all: true });
    await expect.poll(() => messages).toContain('instance ended');
    await client.notify('$/setTrace', { value: 'off' });
    const { length } = messages;
    await client.request('parse', { content: 'x', language: 'python' });
    expect(messages).toHaveLength(length);
  });

  it('answers requests as they are done, each by its id', async () => {
    await using host = serveHost(root);
    const { client } = host;
    const asked = Array.from({ length: 200 }, (_, index) => `name_${index} = ${index}`);
    const answers = await Promise.all(asked.map((content) => client.request('parse', { content, language: 'python' })));
    for (const [index, answer] of answers.entries()) expect(JSON.stringify(answer.uast)).toContain(`"name_${index}"`);
    const { pools } = await client.request('host/status', {});
    expect(pools).toMatchObject([{ language: 'python', success: 200, failed: 0, waiting: 0 }]);
  });

  it('asks the driver again for a source that was answered before', async () => {
    await using host = serveHost(root);
    const { client } = host;
    const ask = async (content: string) => (await client.request('parse', { content, language: 'python' })).uast;
    const first = await ask('same = 1');
    for (let again = 0; again < 2; again += 1) expect(await ask('same = 1')).toEqual(first);
    expect(await ask('other = 1')).not.toEqual(first);
    const { instances } = await client.request('host/instances', {});
    expect(instances.map(({ requests }) => requests)).toEqual([4]);
  });
});

describe('parse/files', () => {
  it('tells its progress and streams its results; what has no driver is counted', async () => {
    const source = path.join(folder, 'source');
    await mkdir(path.join(source, 'deep', '.git'), { recursive: true });
    const files: Record<string, string> = {
      'a.py': 'x = 1',
      'deep/b.py': 'def f(:',
      'deep/latin.py': 'x = "\xe9"',
      'deep/c.rs': 'fn main() {}',
      'deep/noise.zzz': '?',
      'deep/script': '#!/usr/bin/python3\nprint()',
      'deep/.git/ignored.py': 'x',
    };
    for (const [name, content] of Object.entries(files)) {
      await writeFile(path.join(source, name), content, name.includes('latin') ? 'latin1' : 'utf8');
    }
    await using host = serveHost(root);
    const results: FileResult[] = [];
    const progress: WorkDoneProgress[] = [];
    const options = {
      onPartialResult: (some: readonly FileResult[]) => results.push(...some),
      onProgress: (report: WorkDoneProgress) => progress.push(report),
    };
    const summary = await host.client.request('parse/files', { root: uriOf(source) }, options);
    expect(summary).toMatchObject({
      files: 4,
      ok: 2,
      error: 1,
      failed: 1,
      failures: { invalidEncoding: 1 },
      skipped: 2,
      skippedLanguages: { rust: 1, '': 1 },
    });
    expect(results.map(({ uri }) => path.basename(uri)).sort()).toEqual(['a.py', 'b.py', 'latin.py', 'script']);
    expect(progress[0]).toMatchObject({ kind: 'begin' });
    expect(progress.at(-1)).toMatchObject({ kind: 'end' });
    const listed = await host.client.request(
      'parse/files',
      { uris: ['a.py', 'deep/c.rs', 'gone.py'].map((name) => uriOf(path.join(source, name))) },
      options,
    );
    expect(listed).toMatchObject({ files: 3, ok: 1, failed: 2, failures: { driverNotInstalled: 1, notFound: 1 } });
    const some = await host.client.request('parse/files', {
      root: uriOf(source),
      include: ['**/*.py'],
      exclude: ['deep/**'],
    });
    expect(some).toMatchObject({ files: 1, ok: 1, skipped: 0 });
    await expect(host.client.request('parse/files', { root: uriOf(path.join(folder, 'none')) })).rejects.toMatchObject({
      kind: 'notFound',
    });
  });

  it('stops when it is cancelled', async () => {
    await using host = serveHost(root);
    const controller = new AbortController();
    let results = 0;
    const request = host.client.request(
      'parse/files',
      { root: uriOf('/usr/lib'), include: ['python3*/**/*.py'] },
      {
        signal: controller.signal,
        onPartialResult: () => {
          results += 1;
          if (results === 5) controller.abort();
        },
      },
    );
    await expect(request).rejects.toMatchObject({ code: -32800 });
    await expect.poll(async () => (await host.client.request('host/status', {})).pools[0]?.waiting).toBe(0);
    expect(results).toBeLessThan(200);
  });
});

describe('host/info', () => {
  it('tells what isolates the drivers', async () => {
    await using host = serveHost(root);
    const info = await host.client.request('host/info', {});
    expect(info.root).toBe(root);
    expect(info.runtime.path).toMatch(/runc$/);
    expect(info.isolation.map(({ name }) => name)).toContain('seccomp');
    expect(info.limits['contentBytes']).toBeGreaterThan(0);
  });

  it('and every boot say what to install where there is no OCI runtime', async () => {
    await using host = serveHost(root, ['--runtime', '/nonexistent/runc']);
    await expect(host.client.request('host/info', {})).rejects.toMatchObject({ kind: 'runtimeMissing' });
    await expect(host.client.request('parse', { content: 'x', language: 'python' })).rejects.toMatchObject({
      kind: 'runtimeMissing',
    });
    expect((await host.client.request('driver/list', {})).drivers).toHaveLength(1);
  });
});

describe('a host whose store is damaged while drivers run', () => {
  it('keeps what runs, says what is wrong with the store, and works again when it is mended', async () => {
    const own = path.join(folder, 'damaged');
    await using host = serveHost(own);
    const { client } = host;
    const parse = () => client.request('parse', { content: 'x = 1', language: 'python' });
    await client.request('driver/install', { reference: cataloguedImage(inject('catalogue'), 'python') });
    await parse();
    const index = path.join(own, 'index.json');
    await rename(index, `${index}.away`);
    // For a quarter of a second, what was read of the index last is still taken for new.
    await expect
      .poll(() => parse().catch((error: unknown) => error))
      .toMatchObject({ kind: 'storageDirty', data: { path: index } });
    expect((await client.request('host/instances', {})).instances).toHaveLength(1);
    // The end of the driver releases its lease, for which the store is read.
    await client.request('host/kill', { all: true });
    await expect.poll(() => host.log()).toContain('could not be given back');
    await expect(parse()).rejects.toMatchObject({ kind: 'storageDirty', data: { path: index } });
    await rename(`${index}.away`, index);
    await expect.poll(async () => (await parse().catch(() => undefined))?.status).toBe('ok');
    expect(await host.stop()).toBe(0);
  });
});
