// Proxies from the environment: plain requests go through HTTP_PROXY, TLS through a tunnel that HTTPS_PROXY makes
// (CONNECT), and hosts of NO_PROXY past both.
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { connect, type AddressInfo } from 'node:net';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import path from 'node:path';
import { execa } from 'execa';
import { afterEach, expect, it, onTestFinished, vi } from 'vitest';
import { parseReference } from '../../src/images/index.ts';
import { file, tar } from './support/archives.ts';
import { layoutWith } from './support/layouts.ts';
import { makeCertificates, naming, startFront, startRegistry, user } from './support/registries.ts';
import { openStore } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// A name that only the proxy knows: what does not go through it finds nobody.
const name = 'registry.invalid';

afterEach(() => {
  vi.unstubAllEnvs();
});

/** A forward proxy that knows `name`; `asked` collects what it was asked for. */
async function startProxy(): Promise<{ address: string; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? '');
    asked.push(`${incoming.method ?? ''} ${url.host}`);
    const { method, headers } = incoming;
    const onward = request({ host: '127.0.0.1', port: url.port, path: url.pathname, method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  server.on('connect', (incoming, socket, head) => {
    asked.push(`CONNECT ${incoming.url ?? ''}`);
    const onward = connect(Number(incoming.url?.split(':')[1]), '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      onward.write(head);
      onward.pipe(socket);
      socket.pipe(onward);
    });
    onward.on('error', () => socket.destroy());
    socket.on('error', () => onward.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

function useProxy(address: string): void {
  for (const variable of ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'https_proxy']) vi.stubEnv(variable, address);
  for (const variable of ['NO_PROXY', 'no_proxy']) vi.stubEnv(variable, '');
}

it.each([true, false])('a registry is reached through the proxy of the environment (TLS: %s)', async (tls) => {
  const scratch = await temporaryFolder();
  const host = await startRegistry(path.join(scratch, 'registry'), tls ? { tls: true } : {});
  const port = host.split(':')[1] ?? '';
  const layout = path.join(scratch, 'layout');
  await layoutWith(layout, [{ archive: tar(file('a', 'through')), compression: 'gzip' }], { name: 'x' });
  await execa('skopeo', ['copy', '--dest-tls-verify=false', `oci:${layout}:x`, `docker://${host}/n/x:t`]);
  // What speaks http, or with a certificate for another name, has to be called insecure.
  const configuration = path.join(scratch, 'registries.conf');
  await writeFile(configuration, `[[registry]]\nlocation = "${name}:${port}"\ninsecure = true\n`);
  const proxy = await startProxy();
  useProxy(proxy.address);
  const registries = {
    configurationFiles: [configuration],
    certificateFolders: [],
    authenticationFiles: [],
    retries: 1,
    backOffMs: 1,
  };
  {
    await using store = await openStore(scratch, { registries });
    const image = await store.install(parseReference(`${name}:${port}/n/x:t`));
    await using lease = await store.lease(image.digest);
    expect(await readFile(path.join(lease.rootfs, 'a'), 'utf8')).toBe('through');
  }
  expect(proxy.asked).toContain(tls ? `CONNECT ${name}:${port}` : `GET ${name}:${port}`);
  const before = proxy.asked.length;
  for (const variable of ['NO_PROXY', 'no_proxy']) vi.stubEnv(variable, name);
  await using store = await openStore(path.join(scratch, 'other'), { registries });
  await expect(store.install(parseReference(`${name}:${port}/n/x:t`))).rejects.toMatchObject({
    kind: 'imageNotFound',
    data: { reason: 'unreachable' },
  });
  expect(proxy.asked.length).toBe(before);
});

it('a redirect is followed through the proxy without credentials, but not to an address of a network of its own', async () => {
  const scratch = await temporaryFolder();
  const host = await startRegistry(path.join(scratch, 'registry'));
  const layout = path.join(scratch, 'layout');
  await layoutWith(layout, [{ archive: tar(file('a', 'through')), compression: 'gzip' }], { name: 'x' });
  await execa('skopeo', ['copy', '--dest-tls-verify=false', `oci:${layout}:x`, `docker://${host}/n/x:t`]);
  const tls = await makeCertificates(scratch);
  const portOf = (address: string) => address.split(':')[1] ?? '';
  const seen: (string | undefined)[] = [];
  const note = ({ headers }: IncomingMessage) => seen.push(headers.authorization) < 0;
  const elsewhere = `elsewhere.invalid:${portOf(await startFront(host, note, undefined, { tls }))}`;
  let target = elsewhere;
  const authorized: (string | undefined)[] = [];
  const redirect = ({ url = '', headers }: IncomingMessage, outgoing: ServerResponse) => {
    if (headers.authorization === undefined && url !== '/v2/') {
      outgoing.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      return true;
    }
    authorized.push(headers.authorization);
    if (!url.includes('/blobs/')) return false;
    outgoing.writeHead(307, { location: `https://${target}${url}` }).end();
    return true;
  };
  const redirecting = `${name}:${portOf(await startFront(host, redirect, undefined, { tls }))}`;
  const certificates = path.join(scratch, 'certs.d', redirecting);
  await mkdir(certificates, { recursive: true });
  await copyFile(path.join(scratch, 'ca.crt'), path.join(certificates, 'ca.crt'));
  const proxy = await startProxy();
  useProxy(proxy.address);
  const registries = {
    configurationFiles: [await naming(scratch, [])],
    certificateFolders: [path.join(scratch, 'certs.d')],
    authenticationFiles: [],
    retries: 0,
  };
  await using store = await openStore(scratch, { registries });
  const image = await store.install(parseReference(`${redirecting}/n/x:t`), { credentials: user });
  expect(proxy.asked).toContain(`CONNECT ${elsewhere}`);
  expect(authorized).toContain(`Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`);
  expect(seen).not.toEqual([]);
  expect(seen.every((authorization) => authorization === undefined)).toBe(true);

  await store.remove([image.digest]);
  target = '10.0.0.1';
  await expect(store.install(parseReference(`${redirecting}/n/x:t`), { credentials: user })).rejects.toMatchObject({
    kind: 'imageInvalid',
    data: { reason: 'internalAddress', address: target },
  });
  expect(proxy.asked.filter((line) => line.includes(target))).toEqual([]);
});
