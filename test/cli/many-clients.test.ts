// serve --listen with as many clients as it takes, and one more.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../src/protocol/client.ts';
import { startListening } from '../support/listening-host.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';
import { runProgram, startProgram } from '../support/program.ts';

let folder: string;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
});
afterAll(() => removeFolder(folder));

async function listening(name: string, ...options: string[]) {
  const socket = path.join(folder, name);
  const { child, ended } = await startListening(socket, path.join(folder, 'root'), options);
  return { socket, child, ended };
}

async function connected(socket: string): Promise<Socket> {
  const stream = connect(socket);
  await once(stream, 'connect');
  return stream;
}

const overloaded = {
  jsonrpc: '2.0',
  id: null,
  error: {
    code: 1402,
    message: expect.stringContaining('--max-clients') as string,
    data: { kind: 'overloaded', maximumClients: 1 },
  },
};

describe('a host that listens', () => {
  it('answers a thousand clients that come at once, tells the next that it has no room, and takes it later', async () => {
    const { socket, child, ended } = await listening('thousand');
    const streams = await Promise.all(Array.from({ length: 1000 }, () => connected(socket)));
    const clients = streams.map((stream) => new Client(stream, stream));
    const answers = await Promise.all(clients.map((client) => client.request('host/languages', {})));
    expect(answers).toHaveLength(1000);

    const over = await connected(socket);
    const refused = new Client(over, over);
    await expect(refused.request('host/languages', {})).rejects.toMatchObject({
      kind: 'overloaded',
      message: expect.stringContaining('--max-clients') as string,
      data: { maximumClients: 1000 },
    });
    await once(over, 'close');
    await expect(refused.request('host/languages', {})).rejects.toMatchObject({ kind: 'overloaded' });
    const told = await runProgram(['status', '--connect', `unix:${socket}`]);
    expect(told).toMatchObject({ status: 1, stderr: expect.stringContaining('(overloaded)') as string });

    streams[500]?.destroy();
    await expect.poll(async () => (await runProgram(['status', '--connect', `unix:${socket}`])).status).toBe(0);
    for (const stream of streams) stream.destroy();
    child.kill('SIGTERM');
    const { status, stderr } = await ended;
    expect(status).toBe(0);
    expect(stderr).not.toContain('MaxListeners');
  });

  it('tells one that it has no room for in the framing that it speaks, also one that says nothing', async () => {
    const { socket, child, ended } = await listening('framings', '--max-clients', '1');
    const only = await connected(socket);
    const ask = async (request: string): Promise<string> => {
      const stream = await connected(socket);
      if (request !== '') stream.write(request);
      return await text(stream);
    };
    const line = `{"jsonrpc":"2.0","id":1,"method":"host/status"}\n`;
    expect(JSON.parse(await ask(line))).toEqual(overloaded);
    for (const request of [`Content-Length: ${line.length}\r\n\r\n${line}`, '']) {
      const [, length, content = ''] = /^Content-Length: (\d+)\r\n\r\n(.*)$/.exec(await ask(request)) ?? [];
      expect(content).toHaveLength(Number(length));
      expect(JSON.parse(content)).toEqual(overloaded);
    }
    // Many more at once than it waits for: each is told all the same.
    const all = await Promise.all(Array.from({ length: 200 }, () => ask('')));
    expect(new Set(all.map((each) => each.includes('"overloaded"')))).toEqual(new Set([true]));
    only.destroy();
    child.kill('SIGTERM');
    expect((await ended).status).toBe(0);
  });

  it('takes fewer where it may not open as many files, and says so', async () => {
    const socket = path.join(folder, 'files');
    const root = path.join(folder, 'root');
    const child = startProgram(['serve', '--listen', `unix:${socket}`, '--root', root, '--log-level', 'warn'], {
      openFiles: 200,
    });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (part: string) => (said += part));
    await expect.poll(() => said).toContain('Listening at');
    expect(said).toContain('"maximumClients":100,"wanted":1000');
    const streams = await Promise.all(Array.from({ length: 100 }, () => connected(socket)));
    const over = await connected(socket);
    expect(await text(over)).toContain('"maximumClients":100');
    for (const stream of streams) stream.destroy();
    child.kill('SIGTERM');
    await once(child, 'close');
    expect(child.exitCode).toBe(0);
  });
});
