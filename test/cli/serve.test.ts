// serve: how a host for other programs begins and ends, on stdio and on a socket.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { constants } from 'node:os';
import path from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../src/protocol/client.ts';
import { makeDriverRoot } from '../support/driver-root.ts';
import { isRoot } from '../support/privileges.ts';
import { collect, runProgram, startProgram, statusOf } from '../support/program.ts';
import { startListening } from '../support/listening-host.ts';
import { removeFolder } from '../support/temporary-folder.ts';

/** Answers at once, or after a second where the source says so, or never. */
const script = `
while IFS= read -r line; do
  case "$line" in
    *slow*) busybox sleep 1 ;;
    *never*) busybox sleep 1000 ;;
  esac
  printf '{"status":"ok","errors":[],"ast":{"done":true}}\\n'
done`;

let folder: string;
let root: string;

beforeAll(async () => {
  ({ folder, root } = await makeDriverRoot('echo', script));
});

afterAll(async () => {
  await removeFolder(folder);
});

const frame = (message: object): string => {
  const content = JSON.stringify({ jsonrpc: '2.0', ...message });
  return `Content-Length: ${Buffer.byteLength(content)}\r\n\r\n${content}`;
};
const parse = (id: number, content: string): string =>
  frame({ id, method: 'parse', params: { content, language: 'echo' } });

/** The messages of a stream of frames. */
function messages(text: string): { id?: number; result?: unknown; error?: unknown }[] {
  const found = [];
  let bytes = Buffer.from(text);
  while (bytes.length > 0) {
    const match = /^Content-Length: (\d+)\r\n\r\n/.exec(bytes.toString('latin1', 0, 100));
    if (match === null) throw new Error(`stdout has more than frames: ${bytes.toString('utf8', 0, 200)}`);
    const start = match[0].length;
    const end = start + Number(match[1]);
    found.push(JSON.parse(bytes.toString('utf8', start, end)) as { id?: number });
    bytes = bytes.subarray(end);
  }
  return found;
}

const serveStdio = (input: string, ...options: string[]) =>
  runProgram(['serve', '--stdio', '--root', root, '--log-level', 'debug', ...options], { input });

describe('serve --stdio', () => {
  it('answers what was asked before stdin ended, with nothing but frames on stdout, and exits with 0', async () => {
    const { status, stdout } = await serveStdio(parse(1, 'slow') + parse(2, 'quick'));
    expect(status).toBe(0);
    const answers = messages(stdout).sort((a, b) => (a.id ?? 0) - (b.id ?? 0));
    expect(answers).toMatchObject([
      { id: 1, result: { status: 'ok', uast: { done: true } } },
      { id: 2, result: { status: 'ok', uast: { done: true } } },
    ]);
  });

  it('exits with 0 after shutdown and exit, with 1 after exit alone', async () => {
    const goodbye = frame({ id: 1, method: 'shutdown' }) + frame({ method: 'exit' });
    expect(await serveStdio(frame({ id: 0, method: 'initialize', params: {} }) + goodbye)).toMatchObject({ status: 0 });
    expect(await serveStdio(frame({ method: 'exit' }))).toMatchObject({ status: 1 });
  });

  it('ends by itself when the process that initialize named has ended', async () => {
    const gone = startProgram(['--version']);
    await collect(gone);
    const host = startProgram(['serve', '--stdio', '--root', root]);
    const ended = collect(host);
    host.stdin.write(frame({ id: 0, method: 'initialize', params: { processId: gone.pid } }));
    expect((await ended).status).toBe(0);
  });

  it('on SIGTERM answers what it has taken, within --drain, and exits with 0', async () => {
    const host = startProgram(['serve', '--stdio', '--root', root, '--log-level', 'silent']);
    const ended = statusOf(host);
    const client = new Client(host.stdout, host.stdin);
    // The first answer shows that the host is up, and that the second request reaches a driver that runs.
    await client.request('parse', { content: 'quick', language: 'echo' });
    const answer = client.request('parse', { content: 'slow', language: 'echo' });
    await client.request('host/status', {});
    host.kill('SIGTERM');
    expect(await answer).toMatchObject({ status: 'ok' });
    expect(await ended).toBe(0);
    client[Symbol.dispose]();
  });

  it('on SIGTERM does not wait longer than --drain', async () => {
    const host = startProgram(['serve', '--stdio', '--root', root, '--drain', '100ms', '--log-level', 'silent']);
    const ended = statusOf(host);
    const client = new Client(host.stdout, host.stdin);
    const answer = client.request('parse', { content: 'never', language: 'echo' }).catch((error: unknown) => error);
    await client.request('host/status', {});
    const startedAt = performance.now();
    host.kill('SIGTERM');
    expect(await ended).toBe(0);
    expect(performance.now() - startedAt).toBeLessThan(5000);
    expect(await answer).toBeInstanceOf(Error);
    client[Symbol.dispose]();
  });

  it('ends at once on a second signal', async () => {
    const host = startProgram(['serve', '--stdio', '--root', root, '--log-level', 'silent']);
    const ended = statusOf(host);
    const client = new Client(host.stdout, host.stdin);
    client.request('parse', { content: 'never', language: 'echo' }).catch(() => undefined);
    await client.request('host/status', {});
    host.kill('SIGINT');
    // The first has been taken when the host refuses what comes after it.
    let refused = false;
    while (!refused)
      refused = await client.request('host/status', {}).then(
        () => false,
        () => true,
      );
    host.kill('SIGINT');
    expect(await ended).toBe('SIGINT');
    client[Symbol.dispose]();
  });
});

describe('serve --listen', () => {
  let sockets = 0;
  /** A host on a socket of its own, once it listens. */
  const listening = async (socket = path.join(folder, `socket-${++sockets}`), ...options: string[]) => {
    return { socket, ...(await startListening(socket, root, options)) };
  };
  const clientOf = async (socket: string): Promise<{ client: Client; stream: Socket }> => {
    const stream = connect(socket);
    await once(stream, 'connect');
    return { client: new Client(stream, stream), stream };
  };

  it('serves several clients at once, each to its own end, until it is told to stop', async () => {
    const { socket, child, ended } = await listening();
    const one = await clientOf(socket);
    const other = await clientOf(socket);
    const slow = other.client.request('parse', { content: 'slow', language: 'echo' });
    await one.client.request('shutdown', {});
    await one.client.notify('exit');
    await once(one.stream, 'close');
    expect(await slow).toMatchObject({ status: 'ok' });
    child.kill('SIGTERM');
    await once(other.stream, 'close');
    expect((await ended).status).toBe(0);
    await expect(stat(socket)).rejects.toThrow('ENOENT');
  });

  it('lets only its own user in', async () => {
    const { socket, child, ended } = await listening();
    const { mode } = await stat(socket);
    expect(mode & 0o777).toBe(0o600);
    // As root, another user tries: what keeps it out is the socket, not the folder.
    if (isRoot) {
      await chmod(path.dirname(socket), 0o755);
      const program = 'import socket, sys; print(socket.socket(socket.AF_UNIX).connect_ex(sys.argv[1]))';
      const other = spawn('/usr/bin/python3', ['-c', program, socket], { uid: 65_534, gid: 65_534, cwd: '/' });
      expect(await collect(other)).toMatchObject({ status: 0, stdout: `${constants.errno.EACCES}\n` });
    }
    child.kill('SIGTERM');
    expect((await ended).status).toBe(0);
  });

  it('takes the place of a socket that nobody listens at, and of no other file and no host that lives', async () => {
    const socket = path.join(folder, `socket-${++sockets}`);
    // A host's own goes with it (test/container/guard/socket-cleanup.test.ts), but for one that died with its guard.
    const program = 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])';
    expect(await collect(spawn('/usr/bin/python3', ['-c', program, socket]))).toMatchObject({ status: 0 });
    expect((await stat(socket)).isSocket()).toBe(true);

    const next = await listening(socket);
    expect(await runProgram(['status', '--connect', `unix:${socket}`])).toMatchObject({ status: 0 });
    const refused = await runProgram(['serve', '--listen', `unix:${socket}`, '--root', root]);
    expect(refused).toMatchObject({ status: 1, stderr: expect.stringContaining('(conflict)') as string });
    next.child.kill('SIGTERM');
    expect((await next.ended).status).toBe(0);

    const file = path.join(folder, 'a-file');
    await writeFile(file, 'precious');
    const kept = await runProgram(['serve', '--listen', `unix:${file}`, '--root', root]);
    expect(kept).toMatchObject({ status: 1, stderr: expect.stringContaining('not a socket') as string });
    expect((await stat(file)).size).toBe(8);
    const nowhere = await runProgram(['serve', '--listen', `unix:${folder}/none/socket`, '--root', root]);
    expect(nowhere).toMatchObject({ status: 1, stderr: expect.stringContaining('folder') as string });
  });

  it('answers a client that has closed its end, and turns away more clients than --max-clients', async () => {
    const { socket, child, ended } = await listening(undefined, '--max-clients', '1');
    const stream = connect(socket);
    let text = '';
    stream.setEncoding('utf8').on('data', (part: string) => (text += part));
    stream.write(parse(1, 'slow'));
    await once(stream, 'connect');
    expect(messages(await textOf(connect(socket)))).toMatchObject([
      { id: null, error: { data: { kind: 'overloaded' } } },
    ]);
    stream.end();
    await once(stream, 'close');
    expect(messages(text)).toMatchObject([{ id: 1, result: { status: 'ok' } }]);
    child.kill('SIGTERM');
    expect((await ended).status).toBe(0);
  });

  it('keeps drivers warm that it is told to, with scaling set as Babelfish’s was, and says which are not there', async () => {
    const socket = path.join(folder, `socket-${++sockets}`);
    const child = startProgram(
      ['serve', '--listen', `unix:${socket}`, '--root', root, '--log-level', 'error', '--warm', 'echo,cobol'],
      { environment: { BABELHOST_MIN_DRIVER_INSTANCES: '2', BABELHOST_MAX_DRIVER_INSTANCES: '3' } },
    );
    const ended = collect(child);
    // What is not there is told first.
    const listens = new Promise<void>((resolve) => {
      let said = '';
      child.stderr.on('data', (text: Buffer | string) => {
        said += text.toString();
        if (said.includes('Listening at')) resolve();
      });
    });
    await Promise.race([listens, ended]);
    const { client, stream } = await clientOf(socket);
    const pools = async () => (await client.request('host/status', {})).pools;
    await expect.poll(pools).toMatchObject([{ language: 'echo', instances: 2, success: 0 }]);
    expect((await client.request('host/info', {})).limits).toMatchObject({ minimumInstances: 2, maximumInstances: 3 });
    await client.request('host/kill', { all: true });
    await expect.poll(pools).toMatchObject([{ language: 'echo', instances: 2, exited: 2 }]);
    stream.destroy();
    child.kill('SIGTERM');
    const { status, stderr } = await ended;
    expect(status).toBe(0);
    expect(stderr).toMatch(/"language":"cobol".*kept warm/);
  });

  it('shows its pools and instances to other commands, and ends instances for them', async () => {
    const { socket, child, ended } = await listening();
    const at = (...args: string[]) => runProgram([...args, '--connect', `unix:${socket}`]);
    expect((await at('instances')).stderr).toBe('No instance runs.\n');
    const source = path.join(folder, 'sources');
    await mkdir(source);
    await writeFile(path.join(source, 'a'), 'quick');
    expect(await at('parse', path.join(source, 'a'), '--language', 'echo')).toMatchObject({ status: 0 });

    expect((await at('status')).stdout).toMatch(/^echo +running +1 .* ms +[\d.]+ m?s$/m);
    const listed = await at('instances');
    const id = /^([0-9A-Z]{26}) +echo +idle /m.exec(listed.stdout)?.[1];
    expect(id).toBeDefined();
    expect(await at('instances', '--kill', id ?? '')).toMatchObject({ status: 0, stdout: `${id ?? ''}\n` });
    expect(await at('instances', '--kill', 'none')).toMatchObject({ status: 1 });
    // Another answers, and is the only one.
    expect(await at('parse', path.join(source, 'a'), '--language', 'echo')).toMatchObject({ status: 0 });
    const next = /^([0-9A-Z]{26}) +echo +idle /m.exec((await at('instances')).stdout)?.[1];
    expect(next).not.toBe(id);
    const all = await at('instances', '--kill-all', '--json');
    expect(all).toMatchObject({ status: 0, stderr: '' });
    expect(JSON.parse(all.stdout)).toEqual({ killed: [next] });
    child.kill('SIGTERM');
    expect((await ended).status).toBe(0);
  });
});
