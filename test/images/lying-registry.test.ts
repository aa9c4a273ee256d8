// Servers that speak HTTP wrongly, or without end, whom Node's own server could not play.
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { setImmediate } from 'node:timers';
import { expect, it, onTestFinished } from 'vitest';
import { parseReference } from '../../src/images/index.ts';
import { leftovers, openStore } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

type Answer = (socket: Socket) => void;

/** Says that it is a registry, and then answers with bytes. Returns its `host:port`. */
async function startServer(answer: Answer): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', (bytes) => {
      if (bytes.toString('latin1').startsWith('GET /v2/ '))
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}');
      else answer(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const ok = 'HTTP/1.1 200 OK\r\n';
const chunked = `${ok}transfer-encoding: chunked\r\n\r\n`;

/** All of it, and then the end. */
const says =
  (text: string): Answer =>
  (socket) =>
    socket.end(text, 'latin1');

/** Something, and then something again and again, for as long as it is listened to. */
const goesOn =
  (first: string, again: string, pause: (next: () => void) => void = setImmediate): Answer =>
  (socket) => {
    const more = () => {
      if (!socket.destroyed)
        socket.write(again, 'latin1', () => {
          pause(more);
        });
    };
    socket.write(first, 'latin1', more);
  };

it.each<[string, Answer, object]>([
  ['no HTTP', says('SSH-2.0-OpenSSH_9.2\r\n'), { kind: 'imageNotFound', data: { reason: 'unreachable' } }],
  ['a chunk whose size is none', says(`${chunked}zz\r\nhello\r\n`), { kind: 'imageNotFound' }],
  ['a chunk of 2^72 bytes', says(`${chunked}1000000000000000000\r\nhello\r\n`), { kind: 'imageNotFound' }],
  ['a chunk with less in it', says(`${chunked}100\r\nhello\r\n0\r\n\r\n`), { data: { reason: 'broken' } }],
  ['two lengths', says(`${ok}content-length: 3\r\ncontent-length: 5\r\n\r\nhello`), { kind: 'imageNotFound' }],
  [
    'a length and chunks',
    says(`${ok}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`),
    { kind: 'imageNotFound' },
  ],
  ['headers without end', goesOn(ok, 'x-a: bbbbbbbbbbbbbbbb\r\n'), { kind: 'imageNotFound' }],
  ['trailers without end', goesOn(`${chunked}0\r\n`, 'x-a: bbbbbbbbbbbbbbbb\r\n'), { kind: 'imageNotFound' }],
  ['an extension of a chunk without end', goesOn(`${chunked}5;`, 'bbbbbbbbbbbbbbbb'), { data: { reason: 'broken' } }],
  [
    'interim answers without end',
    goesOn('', 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'),
    { kind: 'timeout', data: { reason: 'unreachable' } },
  ],
  [
    // Each of its bytes comes well before the next one is missed.
    'a manifest that comes byte by byte',
    goesOn(`${ok}content-length: 1000000\r\n\r\n`, ' ', (next) => setTimeout(next, 20)),
    { kind: 'imageNotFound', data: { reason: 'broken' } },
  ],
  [
    'an error that comes byte by byte',
    goesOn('HTTP/1.1 404 Not Found\r\ncontent-length: 1000000\r\n\r\n', ' ', (next) => setTimeout(next, 20)),
    { kind: 'imageNotFound', data: { status: 404 } },
  ],
  [
    'redirects without end',
    goesOn('HTTP/1.1 307 X\r\nlocation: /v2/again\r\ncontent-length: 0\r\n\r\n', '', () => undefined),
    { kind: 'imageInvalid' },
  ],
])('%s from a registry is an error in time, and leaves nothing', async (_what, answer, expected) => {
  const host = await startServer(answer);
  const registries = {
    configurationFiles: [],
    certificateFolders: [],
    authenticationFiles: [],
    backOffMs: 1,
    retries: 1,
    connectTimeoutMs: 200,
    answerTimeoutMs: 200,
    idleTimeoutMs: 200,
  };
  const store = await openStore(await temporaryFolder(), { registries });
  await expect(store.install(parseReference(`${host}/n/x:t`))).rejects.toMatchObject(expected);
  await store[Symbol.asyncDispose]();
  expect(await leftovers(store.root)).toEqual([]);
});
