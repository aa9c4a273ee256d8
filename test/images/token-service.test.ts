// Token services that break off, give garbage, too much or nothing: each ends with an error that names the service's fault.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { parseReference } from '../../src/images/index.ts';
import { leftovers, openStore } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

type Answer = (outgoing: ServerResponse) => void;

const json = (text: string): Answer => {
  return (outgoing) => outgoing.writeHead(200).end(text);
};

/** A registry that sends everybody to its own token service, and that service. */
async function startRegistry(give: Answer): Promise<string> {
  const server = createServer((incoming, outgoing) => {
    if (incoming.url?.startsWith('/token') === true) give(outgoing);
    else {
      const realm = `Bearer realm="http://${incoming.headers.host ?? ''}/token",service="x"`;
      outgoing.writeHead(401, { 'www-authenticate': realm }).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it.each<[string, Answer, object]>([
  [
    'breaks off',
    (outgoing) => {
      outgoing.writeHead(200, { 'content-length': 100 });
      outgoing.write('{"tok', () => outgoing.destroy());
    },
    { kind: 'imageUnauthorized', message: expect.stringContaining('broke off') as unknown },
  ],
  ['gives no JSON', json('<html>'), { kind: 'imageUnauthorized', data: { reason: 'its answer is not JSON' } }],
  ['gives null', json('null'), { kind: 'imageUnauthorized', data: { reason: 'there is none in its answer' } }],
  [
    'gives a token that would add a header',
    json(JSON.stringify({ token: 'x\r\nhost: other' })),
    { kind: 'imageUnauthorized', data: { reason: 'there is none in its answer' } },
  ],
  [
    'gives more than a token can be',
    json(`{"token": "${'x'.repeat(2 * 1024 ** 2)}"}`),
    { kind: 'imageUnauthorized', data: { reason: 'its answer is not JSON' } },
  ],
  ['refuses', (outgoing) => outgoing.writeHead(403).end('{}'), { kind: 'imageUnauthorized', data: { status: 403 } }],
  ['never answers', () => undefined, { kind: 'timeout' }],
  [
    'begins to answer and never ends',
    (outgoing) => outgoing.writeHead(200).write('{'),
    { kind: 'imageUnauthorized', message: expect.stringContaining('broke off') as unknown },
  ],
])('a token service that %s', async (_what, give, expected) => {
  const host = await startRegistry(give);
  const store = await openStore(await temporaryFolder(), {
    registries: {
      configurationFiles: [],
      certificateFolders: [],
      authenticationFiles: [],
      retries: 1,
      backOffMs: 1,
      answerTimeoutMs: 300,
      idleTimeoutMs: 300,
    },
  });
  await expect(store.install(parseReference(`${host}/n/x:t`))).rejects.toMatchObject(expected);
  expect(await store.list()).toEqual([]);
  await store[Symbol.asyncDispose]();
  expect(await leftovers(store.root)).toEqual([]);
});
