// A registry that sends this machine's requests to other services: of the machine, of its network, without encryption.
// Each is first followed, where the configuration names that service, and then never gets there.
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { TLSSocket } from 'node:tls';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseReference, type ImageStore } from '../../src/images/index.ts';
import { file, tar } from './support/archives.ts';
import { layoutWith } from './support/layouts.ts';
import { makeCertificates, naming, startFront, startRegistry, user, type Change } from './support/registries.ts';
import { openStore } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let scratch: string;
let layout: string;
let registry: string;
let pushes = 0;

beforeEach(async () => {
  scratch = await temporaryFolder();
  layout = path.join(scratch, 'layout');
  await layoutWith(layout, [{ archive: tar(file('a', randomBytes(1000))), compression: 'gzip' }], { name: 'x' });
  registry = await startRegistry(path.join(scratch, 'registry'));
  await execa('skopeo', ['copy', '--dest-tls-verify=false', `oci:${layout}:x`, `docker://${registry}/n/x:t`]);
});

/** A store that the configuration names these hosts to. */
async function storeNaming(hosts: readonly string[], more = '', certificates?: string): Promise<ImageStore> {
  return await openStore(scratch, {
    registries: {
      configurationFiles: [await naming(scratch, hosts, more)],
      certificateFolders: certificates === undefined ? [] : [certificates],
      authenticationFiles: [],
      backOffMs: 1,
      retries: 1,
      connectTimeoutMs: 1000,
    },
  });
}

interface Victim {
  /** `host:port`, by the name that is attacked. */
  readonly host: string;
  readonly asked: { readonly method: string; readonly url: string; readonly authorization: string | undefined }[];
}

/** A service that would do what a registry's own other services do. Collects what it was asked. */
async function startVictim(name: string): Promise<Victim> {
  const asked: Victim['asked'] = [];
  const meddle = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { method = '', url = '', headers } = incoming;
    asked.push({ method, url, authorization: headers.authorization });
    if (!url.startsWith('/token')) return false;
    outgoing.end('{"token": "abc"}');
    return true;
  };
  const address = name === '[::1]' ? '::1' : '127.0.0.1';
  const front = await startFront(registry, meddle, undefined, { address });
  return { host: `${name}:${/\d+$/.exec(front)?.[0] ?? ''}`, asked };
}

const loopback = expect.stringMatching(/^(?:127\.0\.0\.1|::1)$/) as string;

const isBlob = (url = '') => url.includes('/blobs/sha256:');
const isManifest = (url = '') => url.includes('/manifests/');

/** A registry that redirects some of its requests to `target`. */
async function startRedirecting(target: string, which: (url: string | undefined) => boolean): Promise<string> {
  return await startFront(registry, (incoming, outgoing) => {
    if (!which(incoming.url)) return false;
    outgoing.writeHead(307, { location: `${target}${incoming.url ?? ''}` }).end();
    return true;
  });
}

/** A registry whose uploads go on at `target`. */
async function startUploading(target: string): Promise<string> {
  const change: Change = (incoming, answer, outgoing) => {
    const { location } = answer.headers;
    if (incoming.method !== 'POST' || location === undefined) return false;
    const { pathname, search } = new URL(location, `http://${registry}`);
    outgoing.writeHead(answer.statusCode ?? 500, { ...answer.headers, location: `${target}${pathname}${search}` });
    answer.pipe(outgoing);
    return true;
  };
  return await startFront(registry, () => false, change);
}

/** A registry that sends everybody to a token service at `target`. */
async function startTokenWanting(target: string): Promise<string> {
  return await startFront(registry, (incoming, outgoing) => {
    if (incoming.url === '/v2/' || incoming.headers.authorization === 'Bearer abc') return false;
    outgoing.writeHead(401, { 'www-authenticate': `Bearer realm="${target}/token",service="x"` }).end();
    return true;
  });
}

const pull = (store: ImageStore, host: string) => store.install(parseReference(`${host}/n/x:t`), { credentials: user });

async function push(store: ImageStore, host: string): Promise<void> {
  await store.install(parseReference(`oci:${layout}:x`));
  // To another repository each time, which lacks the blobs.
  pushes += 1;
  await store.push('x', parseReference(`${host}/other/y${pushes}:t`), { credentials: user });
}

const attacks: [string, (target: string) => Promise<string>, (store: ImageStore, host: string) => Promise<unknown>][] =
  [
    ['a blob', (target) => startRedirecting(target, isBlob), pull],
    ['a manifest', (target) => startRedirecting(target, isManifest), pull],
    ["an upload's chunks", startUploading, push],
    ['questions for a token', startTokenWanting, pull],
  ];

describe.each(attacks)('a registry that sends %s', (_what, startAttacker, attempt) => {
  it.each(['127.0.0.1', 'localhost', '[::1]'])('to another port of %s', async (name) => {
    const victim = await startVictim(name);
    const attacker = await startAttacker(`http://${victim.host}`);
    {
      await using store = await storeNaming([victim.host, registry], 'insecure = true');
      await attempt(store, attacker);
      expect(victim.asked).not.toEqual([]);
      // Only a token service that the registry names itself is told the password.
      const told = victim.asked.filter(({ authorization }) => authorization !== undefined);
      expect(told.length > 0).toBe(startAttacker === startTokenWanting);
      await store.remove((await store.list()).map(({ digest }) => digest));
    }
    victim.asked.length = 0;
    await using store = await storeNaming([]);
    await expect(attempt(store, attacker)).rejects.toMatchObject({
      kind: 'imageInvalid',
      message: expect.stringMatching(/sends on to .*, which is refused: .*registries\.conf/) as string,
      // A token's service is told passwords: http is refused before its address is asked for.
      data:
        startAttacker === startTokenWanting
          ? { registry: attacker, reason: 'encryption' }
          : { registry: attacker, reason: 'internalAddress', address: loopback },
    });
    expect(victim.asked).toEqual([]);
  });

  it.each([
    ['https://169.254.169.254/latest/meta-data', '169.254.169.254'],
    ['https://10.0.0.1', '10.0.0.1'],
    ['https://[fd00::1]', 'fd00::1'],
    ['https://[::ffff:127.0.0.1]', '::ffff:7f00:1'],
    ['https://0:1', '0.0.0.0'],
    ['https://2130706433:1', '127.0.0.1'],
    ['https://localhost:1', loopback],
  ])('to %s', async (target, address) => {
    const attacker = await startAttacker(target);
    await using store = await storeNaming([]);
    await expect(attempt(store, attacker)).rejects.toMatchObject({
      kind: 'imageInvalid',
      data: { reason: 'internalAddress', address },
    });
  });

  it('from https to http', async () => {
    const certificate = await makeCertificates(scratch);
    const victim = await startVictim('127.0.0.1');
    const plain = await startAttacker(`http://${victim.host}`);
    const attacker = await startFront(plain, () => false, undefined, { tls: certificate });
    const folder = path.join(scratch, 'certs.d');
    await mkdir(path.join(folder, attacker), { recursive: true });
    await copyFile(path.join(scratch, 'ca.crt'), path.join(folder, attacker, 'ca.crt'));
    {
      await using store = await storeNaming([victim.host], '', folder);
      await attempt(store, attacker);
      expect(victim.asked).not.toEqual([]);
      await store.remove((await store.list()).map(({ digest }) => digest));
    }
    victim.asked.length = 0;
    await using store = await storeNaming([], '', folder);
    await expect(attempt(store, attacker)).rejects.toMatchObject({
      kind: 'imageInvalid',
      data: { reason: 'encryption', location: expect.stringContaining(victim.host) as string },
    });
    expect(victim.asked).toEqual([]);
  });
});

it('a registry that is named insecure is no reason to trust another host that speaks TLS', async () => {
  const certificate = await makeCertificates(scratch);
  const asked: string[] = [];
  const elsewhere = await startFront(registry, ({ url = '' }) => asked.push(url) < 0, undefined, { tls: certificate });
  const redirecting = await startRedirecting(`https://${elsewhere}`, isBlob);
  const configuration = path.join(scratch, 'registries.conf');
  const entry = (host: string, insecure: boolean) => `[[registry]]\nlocation = "${host}"\ninsecure = ${insecure}\n`;
  for (const insecure of [true, false]) {
    await writeFile(configuration, entry(redirecting, true) + entry(elsewhere, insecure));
    await using store = await openStore(scratch, {
      registries: { configurationFiles: [configuration], certificateFolders: [], authenticationFiles: [], retries: 0 },
    });
    if (insecure) {
      const { digest } = await pull(store, redirecting);
      await store.remove([digest]);
      expect(asked).not.toEqual([]);
      asked.length = 0;
    } else {
      await expect(pull(store, redirecting)).rejects.toMatchObject({ data: { reason: 'unreachable' } });
      expect(asked).toEqual([]);
    }
  }
});

it("a client's certificate is shown to the registry that it is for, and to nobody else", async () => {
  const certificate = await makeCertificates(scratch);
  const shown: string[] = [];
  const note = (who: string) => (incoming: IncomingMessage) => {
    if (!(incoming.socket instanceof TLSSocket)) throw new Error('not over TLS');
    if (Object.keys(incoming.socket.getPeerCertificate()).length > 0) shown.push(who);
    return false;
  };
  const elsewhere = await startFront(registry, note('elsewhere'), undefined, { tls: certificate });
  const plain = await startRedirecting(`https://${elsewhere}`, isBlob);
  const host = await startFront(plain, note('registry'), undefined, { tls: certificate });
  const folder = path.join(scratch, 'certs.d', host);
  await mkdir(folder, { recursive: true });
  for (const [from, to] of [
    ['ca.crt', 'ca.crt'],
    ['host.crt', 'client.cert'],
    ['host.key', 'client.key'],
  ] as const) {
    await writeFile(path.join(folder, to), await readFile(path.join(scratch, from)));
  }
  await using store = await storeNaming([elsewhere], '', path.join(scratch, 'certs.d'));
  await pull(store, host);
  expect([...new Set(shown)]).toEqual(['registry']);
});

it.runIf(process.getuid?.() === 0)(
  'names are checked by the addresses that are connected to, whatever DNS says next',
  async () => {
    const resolver = path.join(scratch, 'resolv.conf');
    await writeFile(resolver, 'nameserver 127.0.0.1\n');
    const script = `ip link set lo up && ip route add local 9.9.9.9 dev lo &&
    mount --bind ${resolver} /etc/resolv.conf && exec "$@"`;
    const program = fileURLToPath(new URL('support/names-process.ts', import.meta.url));
    const inside = ['/bin/sh', '-c', script, 'sh', process.execPath, program, layout, scratch];
    const { stdout } = await execa('unshare', ['--net', '--mount', ...inside]);
    expect(JSON.parse(stdout)).toEqual({
      'checked beforehand': { asked: ['127.0.0.1'] },
      'internet.test': { asked: ['9.9.9.9'] },
      'loopback.test': { reason: 'internalAddress', asked: [] },
      'both.test': { reason: 'internalAddress', asked: [] },
      'rebinding.test': { reason: 'internalAddress', asked: ['9.9.9.9'] },
    });
  },
);
