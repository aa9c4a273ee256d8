// Real registries on loopback: Debian's docker-registry, plain, with basic and token authentication, and over TLS; and a
// front that passes requests on to one and does to them what a test wants.
import { spawn } from 'node:child_process';
import { generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, request, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { onTestFinished } from 'vitest';

export const user = { username: 'someone', password: 'pa:ss wörd' };

export interface RegistryOptions {
  readonly basic?: boolean;
  readonly tls?: boolean;
  /** The address of a token service, with the certificate that it signs with. */
  readonly token?: { readonly realm: string; readonly certificate: string };
}

/** A registry of its own in `folder`, ended with the test. Returns its `host:port`. */
export async function startRegistry(folder: string, options: RegistryOptions = {}): Promise<string> {
  await mkdir(folder, { recursive: true });
  const auth: string[] = [];
  if (options.basic === true) {
    const { stdout } = await execa('/usr/bin/python3', [
      '-W',
      'ignore',
      '-c',
      'import crypt, sys; print(crypt.crypt(sys.argv[1], crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))',
      user.password,
    ]);
    await writeFile(path.join(folder, 'htpasswd'), `${user.username}:${stdout}\n`);
    auth.push('auth:', '  htpasswd:', '    realm: test', `    path: ${folder}/htpasswd`);
  }
  if (options.token !== undefined) {
    auth.push(
      'auth:',
      '  token:',
      `    realm: ${options.token.realm}`,
      '    service: test',
      '    issuer: test',
      `    rootcertbundle: ${options.token.certificate}`,
    );
  }
  const tls = options.tls === true ? await makeCertificates(folder) : undefined;
  const host = options.tls === true ? 'localhost' : '127.0.0.1';
  // A port that was free a moment ago may be somebody else's by now: then the registry ends, and another one is tried.
  for (let tries = 0; tries < 10; tries += 1) {
    const port = await freePort();
    if (await serveAt(port, folder, auth, tls)) return `${host}:${port}`;
  }
  throw new Error('docker-registry did not start: is it installed (apt-get install docker-registry)?');
}

/** Starts a registry at a port; false if it ended instead. */
async function serveAt(
  port: number,
  folder: string,
  auth: readonly string[],
  tls: { certificate: string; key: string } | undefined,
): Promise<boolean> {
  const lines = [
    'version: 0.1',
    'log: {level: error, accesslog: {disabled: true}}',
    `storage: {filesystem: {rootdirectory: ${folder}/data}, delete: {enabled: true}}`,
    'http:',
    `  addr: 127.0.0.1:${port}`,
    ...(tls === undefined ? [] : ['  tls:', `    certificate: ${tls.certificate}`, `    key: ${tls.key}`]),
    ...auth,
  ];
  const file = path.join(folder, 'config.yml');
  await writeFile(file, lines.join('\n'));
  const child = spawn('docker-registry', ['serve', file], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const stop = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  if (await listensAt(port, () => child.exitCode !== null || child.signalCode !== null)) {
    onTestFinished(stop);
    return true;
  }
  await stop();
  return false;
}

/** A certificate's file, and its key's. */
export interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/** A certificate for localhost and two names that do not exist, and the authority that made it (`ca.crt`). */
export async function makeCertificates(folder: string): Promise<Certificate> {
  const at = (name: string) => path.join(folder, name);
  await execa(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=test authority',
      '-keyout',
      at('ca.key'),
      '-out',
      at('ca.crt'),
    ],
    { stderr: 'ignore' },
  );
  await execa(
    'openssl',
    [
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      '/CN=localhost',
      '-keyout',
      at('host.key'),
      '-out',
      at('host.csr'),
    ],
    { stderr: 'ignore' },
  );
  await writeFile(
    at('host.ext'),
    'subjectAltName=DNS:localhost,DNS:registry.invalid,DNS:elsewhere.invalid,IP:127.0.0.1',
  );
  await execa(
    'openssl',
    [
      'x509',
      '-req',
      '-in',
      at('host.csr'),
      '-CA',
      at('ca.crt'),
      '-CAkey',
      at('ca.key'),
      '-CAcreateserial',
      '-days',
      '2',
      '-extfile',
      at('host.ext'),
      '-out',
      at('host.crt'),
    ],
    { stderr: 'ignore' },
  );
  return { certificate: at('host.crt'), key: at('host.key') };
}

/** A token service; `asked` collects what it was asked for. */
export interface TokenService {
  readonly host: string;
  readonly realm: string;
  readonly certificate: string;
  readonly asked: { readonly scopes: readonly string[]; readonly authorization: string | undefined }[];
}

/** A token service that gives tokens for what is asked to whoever has the right password. */
export async function startTokenService(folder: string): Promise<TokenService> {
  await mkdir(folder, { recursive: true });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = path.join(folder, 'token.key');
  const certificate = path.join(folder, 'token.crt');
  await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await execa('openssl', ['req', '-x509', '-key', key, '-days', '2', '-subj', '/CN=token', '-out', certificate]);
  const { stdout: der } = await execa('openssl', ['x509', '-in', certificate, '-outform', 'der'], {
    encoding: 'base64',
  });
  const asked: TokenService['asked'] = [];
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', 'http://x');
    const scopes = url.searchParams.getAll('scope');
    const { authorization } = incoming.headers;
    asked.push({ scopes, authorization });
    if (authorization !== `Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`) {
      outgoing.writeHead(401).end('{}');
      return;
    }
    const now = Math.floor(Date.now() / 1000);
    const access = scopes.map((scope) => {
      const [type, name, actions = ''] = scope.split(':');
      return { type, name, actions: actions.split(',') };
    });
    const claims = {
      iss: 'test',
      sub: user.username,
      aud: 'test',
      exp: now + 60,
      nbf: now - 60,
      iat: now,
      jti: '1',
      access,
    };
    const signed = `${part({ typ: 'JWT', alg: 'RS256', x5c: [der] })}.${part(claims)}`;
    const token = `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
    outgoing.writeHead(200).end(JSON.stringify({ token }));
  });
  const host = `127.0.0.1:${await listen(server)}`;
  return { host, realm: `http://${host}/token`, certificate, asked };
}

/** What a front does with a request: true if it has answered it itself. */
export type Meddle = (incoming: IncomingMessage, outgoing: ServerResponse) => boolean | undefined;

export interface FrontOptions {
  /** What it speaks TLS with, at localhost; it asks for its clients' certificates, too. */
  readonly tls?: Certificate;
  /** Of this machine, where it does not speak TLS. */
  readonly address?: string;
}

/** A front before a registry. `change` may change the answers' bytes on their way. Returns its `host:port`. */
export async function startFront(
  target: string,
  meddle: Meddle,
  change?: Change,
  { tls, address = '127.0.0.1' }: FrontOptions = {},
): Promise<string> {
  const listener = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    if (meddle(incoming, outgoing) === true) return;
    const [host, port] = target.split(':');
    const onward = request({ host, port, method: incoming.method, path: incoming.url, headers: incoming.headers });
    onward.on('response', (answer) => {
      if (change?.(incoming, answer, outgoing) === true) return;
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  };
  if (tls === undefined) {
    const port = await listen(createServer(listener), address);
    return `${address.includes(':') ? `[${address}]` : address}:${port}`;
  }
  const [cert, key] = [await readFile(tls.certificate), await readFile(tls.key)];
  const server = createTlsServer({ cert, key, requestCert: true, rejectUnauthorized: false }, listener);
  return `localhost:${await listen(server)}`;
}

/** A registries.conf that names hosts, as `host:port`; `more` are lines of each entry. Returns its path. */
export async function naming(folder: string, hosts: readonly string[], more = ''): Promise<string> {
  const file = path.join(folder, 'naming.conf');
  await writeFile(file, hosts.map((host) => `[[registry]]\nlocation = "${host}"\n${more}\n`).join(''));
  return file;
}

/** Given a registry's answer, writes it otherwise; true if it has. */
export type Change = (
  incoming: IncomingMessage,
  answer: IncomingMessage,
  outgoing: ServerResponse,
) => boolean | undefined;

/** Listens at a free port of an address of this machine, until the test ends. */
export async function listen(server: Server, address = '127.0.0.1'): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Waits until this machine's `port` is listened at by the process whose end `hasEnded` tells. */
async function listensAt(port: number, hasEnded: () => boolean): Promise<boolean> {
  for (let tries = 0; tries < 500 && !hasEnded(); tries += 1) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      // Whoever has taken the port in between would answer too: then the process is about to end, as it cannot have it.
      await sleep(20);
      return !hasEnded();
    } catch {
      await sleep(20);
    } finally {
      socket.destroy();
    }
  }
  return false;
}
