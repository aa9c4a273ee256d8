// A process in a network of its own, in which it answers for DNS itself: installs an image of a registry that redirects
// blobs to names, and prints what each name's service was asked, as JSON. The network has the address 9.9.9.9, which is
// none of an interface's.
// Arguments: the layout that has the image, and a folder for stores.
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, get, type RequestListener } from 'node:http';
import path from 'node:path';
import { BabelhostError } from '../../../src/base/errors.ts';
import { ImageStore, parseReference } from '../../../src/images/index.ts';
import { isPublic } from '../../../src/images/registry/addresses.ts';
import { own } from './stores.ts';

const [layout = '', folder = ''] = process.argv.slice(2);
const [internet, loopback] = ['9.9.9.9', '127.0.0.1'];

/** What each name resolves to when it is asked for the nth time, from 0. */
const names: Readonly<Record<string, (turn: number) => string[]>> = {
  'internet.test': () => [internet],
  'loopback.test': () => [loopback],
  'both.test': () => [internet, loopback],
  'rebinding.test': (turn) => [turn === 0 ? internet : loopback],
};
const turns = new Map<string, number>();

const dns = createSocket('udp4');
dns.on('message', (query, { port, address }) => {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const name = labels.join('.');
  const isIpv4 = query.readUInt16BE(at + 1) === 1;
  const turn = turns.get(name) ?? 0;
  if (isIpv4) turns.set(name, turn + 1);
  const found = isIpv4 ? (names[name]?.(turn) ?? []) : [];
  const head = Buffer.from(query.subarray(0, at + 5));
  // RFC 1035, 4.1.1: an answer without error, and how much is in it.
  head.writeUInt16BE(0x8180, 2);
  head.writeUInt16BE(found.length, 6);
  head.fill(0, 8, 12);
  const record = (value: string) => [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...value.split('.').map(Number)];
  dns.send(Buffer.concat([head, Buffer.from(found.flatMap(record))]), port, address);
});
dns.bind(53, loopback);
await once(dns, 'listening');

const { manifests } = JSON.parse(readFileSync(path.join(layout, 'index.json'), 'utf8')) as {
  manifests: { digest: string }[];
};
const giveBlob: RequestListener = (incoming, outgoing) => {
  const digest = /sha256:(\w+)$/.exec(incoming.url ?? '')?.[1] ?? '';
  outgoing.end(readFileSync(path.join(layout, 'blobs/sha256', digest)));
};

/** At which of its addresses the service was asked. */
const asked: (string | undefined)[] = [];
const service = createServer((incoming, outgoing) => {
  asked.push(incoming.socket.localAddress);
  // Each blob is asked for over a connection of its own, for which the name is resolved anew.
  outgoing.setHeader('connection', 'close');
  giveBlob(incoming, outgoing);
}).listen(8080, '0.0.0.0');
await once(service, 'listening');

let target = '';
const registry = createServer((incoming, outgoing) => {
  const { url = '' } = incoming;
  if (url === '/v2/') outgoing.end('{}');
  else if (url.includes('/blobs/')) outgoing.writeHead(307, { location: `http://${target}:8080${url}` }).end();
  else outgoing.end(readFileSync(path.join(layout, 'blobs/sha256', manifests[0]?.digest.slice(7) ?? '')));
}).listen(5000, loopback);
await once(registry, 'listening');

interface Outcome {
  readonly reason: unknown;
  readonly asked: readonly (string | undefined)[];
}
const outcomes: Record<string, Outcome> = {};

// Who checks a name, and then connects to it, asks for it twice.
const { address } = await lookup('rebinding.test');
if (isPublic(address)) {
  const [digest = ''] = manifests.map((manifest) => manifest.digest);
  await once(get({ host: 'rebinding.test', port: 8080, path: `/${digest}`, agent: false }), 'response');
}
outcomes['checked beforehand'] = { reason: undefined, asked: [...asked] };
turns.clear();

for (target of Object.keys(names)) {
  asked.length = 0;
  const registries = { configurationFiles: [], certificateFolders: [], authenticationFiles: [], retries: 0 };
  await using store = await ImageStore.open(path.join(folder, target), { ...own, registries });
  const reason: unknown = await store.install(parseReference('127.0.0.1:5000/n/x:t')).then(
    () => undefined,
    (error: unknown) => (error instanceof BabelhostError ? error.data['reason'] : String(error)),
  );
  outcomes[target] = { reason, asked: [...new Set(asked)] };
}
process.stdout.write(JSON.stringify(outcomes));
dns.close();
for (const server of [service, registry]) {
  server.closeAllConnections();
  server.close();
}
