// Installing from registries: real ones, and with a front before them that does what networks and bad registries do.
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseReference, type ImageStore, type RegistrySettings } from '../../src/images/index.ts';
import { file, tar } from './support/archives.ts';
import { digest, layoutWith } from './support/layouts.ts';
import {
  naming,
  startFront,
  startRegistry,
  startTokenService,
  user,
  type Change,
  type Meddle,
} from './support/registries.ts';
import { leftovers, openStore } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let scratch: string;
const content = randomBytes(600_000);
const archive = tar(file('random', content));

beforeEach(async () => {
  scratch = await temporaryFolder();
});

/** Nothing of this machine's own configuration; no long waits. */
const settings: Partial<RegistrySettings> = {
  configurationFiles: [],
  certificateFolders: [],
  authenticationFiles: [],
  backOffMs: 1,
  maxBackOffMs: 2000,
  retries: 3,
};

async function open(more: Partial<RegistrySettings> = {}): Promise<ImageStore> {
  return await openStore(scratch, { registries: { ...settings, ...more } });
}

/** Puts the image into a registry with skopeo. */
async function push(host: string, name: string, ...args: string[]): Promise<void> {
  const layout = path.join(scratch, 'layout');
  await layoutWith(layout, [{ archive, compression: 'gzip' }, { archive: tar(file('second')) }], { name: 'x' });
  await execa('skopeo', ['copy', '--dest-tls-verify=false', ...args, `oci:${layout}:x`, `docker://${host}/${name}`]);
}

async function installed(store: ImageStore, reference: string): Promise<string> {
  const image = await store.install(parseReference(reference));
  await using lease = await store.lease(image.digest);
  expect((await readFile(path.join(lease.rootfs, 'random'))).equals(content)).toBe(true);
  return image.digest;
}

async function refused(host: string, expected: object, more: Partial<RegistrySettings> = {}): Promise<void> {
  const store = await open(more);
  await expect(store.install(parseReference(`${host}/n/x:t`))).rejects.toMatchObject(expected);
  expect(await store.list()).toEqual([]);
  await store[Symbol.asyncDispose]();
  expect(await leftovers(store.root)).toEqual([]);
}

describe('a registry', () => {
  it('gives images by tag, by digest and by both, in OCI form and in Docker form', async () => {
    const host = await startRegistry(path.join(scratch, 'registry'));
    await push(host, 'n/x:t');
    await push(host, 'a/b/c/d:v2', '--format', 'v2s2');
    await using store = await open();
    const byTag = await installed(store, `${host}/n/x:t`);
    expect(await installed(store, `docker://${host}/n/x@${byTag}`)).toBe(byTag);
    expect(await installed(store, `${host}/n/x:gone@${byTag}`)).toBe(byTag);
    expect((await store.inspect(byTag)).names).toEqual([`${host}/n/x:t`, `${host}/n/x:gone`]);
    await installed(store, `${host}/a/b/c/d:v2`);
    // Kept in OCI's form, both are the same image.
    const images = await store.list();
    expect(images.map(({ layers }) => layers[0]?.mediaType)).toEqual(['application/vnd.oci.image.layer.v1.tar+gzip']);
    expect(images[0]?.names).toContain(`${host}/a/b/c/d:v2`);
    for (const missing of ['n/x:none', 'n/none:t', `n/x@${digest('none')}`]) {
      await expect(store.install(parseReference(`${host}/${missing}`))).rejects.toMatchObject({
        kind: 'imageNotFound',
        data: { status: 404 },
      });
    }
  });

  it('gives images that buildah pushed', async () => {
    const host = await startRegistry(path.join(scratch, 'registry'));
    const root = ['--root', path.join(scratch, 'b'), '--runroot', path.join(scratch, 'r'), '--storage-driver', 'vfs'];
    const { stdout: container } = await execa('buildah', [...root, 'from', 'scratch']);
    await writeFile(path.join(scratch, 'random'), content);
    await execa('buildah', [...root, 'copy', container, path.join(scratch, 'random'), '/random']);
    await execa('buildah', [...root, 'config', '--env', 'A=b', container]);
    await execa('buildah', [...root, 'commit', '--tls-verify=false', container, `docker://${host}/made/by:buildah`]);
    await using store = await open();
    await installed(store, `${host}/made/by:buildah`);
    expect((await store.list())[0]?.config.env).toContain('A=b');
  });

  it('with basic authentication takes credentials of the call, of files and of helpers', async () => {
    const host = await startRegistry(path.join(scratch, 'registry'), { basic: true });
    await push(host, 'n/x:t', '--dest-creds', `${user.username}:${user.password}`);
    await refused(host, { kind: 'imageUnauthorized', data: { reason: 'credentialsMissing' } });
    const auth = Buffer.from(`${user.username}:${user.password}`).toString('base64');
    const write = async (name: string, value: object) => {
      const at = path.join(scratch, name);
      await writeFile(at, JSON.stringify(value));
      return [path.join(scratch, 'none'), at];
    };
    await refused(
      host,
      { kind: 'imageUnauthorized', data: { status: 401 } },
      {
        authenticationFiles: await write('wrong', {
          auths: { [host]: { auth: Buffer.from('a:b').toString('base64') } },
        }),
      },
    );
    const bin = path.join(scratch, 'bin');
    await mkdir(bin);
    await writeFile(
      path.join(bin, 'docker-credential-test'),
      `#!/bin/sh\nread host\necho '{"Username":"${user.username}","Secret":"${user.password}"}'\n`,
      { mode: 0o755 },
    );
    const before = process.env['PATH'];
    process.env['PATH'] = `${bin}:${before ?? ''}`;
    try {
      for (const files of [
        await write('plain', { auths: { [host]: { auth } } }),
        await write('deep', { auths: { [`https://${host}/n`]: { auth }, [host]: { auth: '' } } }),
        await write('helper', { credHelpers: { [host]: 'test' } }),
        await write('kept', { credsStore: 'test', auths: { [host]: {} } }),
      ]) {
        await using store = await open({ authenticationFiles: files });
        await store.remove((await store.list()).map((image) => image.digest));
        await installed(store, `${host}/n/x:t`);
      }
    } finally {
      process.env['PATH'] = before;
    }
    await using store = await open();
    await store.remove((await store.list()).map((image) => image.digest));
    await store.install(parseReference(`${host}/n/x:t`), { credentials: user });
  });

  it('with token authentication is asked for no more than pulling', async () => {
    const tokens = await startTokenService(path.join(scratch, 'tokens'));
    const host = await startRegistry(path.join(scratch, 'registry'), { token: tokens });
    await push(host, 'n/x:t', '--dest-creds', `${user.username}:${user.password}`);
    const configurationFiles = [await naming(scratch, [tokens.host])];
    await refused(host, { kind: 'imageUnauthorized', data: { status: 401 } }, { configurationFiles });
    tokens.asked.length = 0;
    await using store = await open({ configurationFiles });
    await store.install(parseReference(`${host}/n/x:t`), { credentials: user });
    expect(tokens.asked.map(({ scopes }) => scopes)).toEqual([['repository:n/x:pull']]);
  });

  it('over TLS needs an authority that vouches for it, or to be called insecure', async () => {
    const folder = path.join(scratch, 'registry');
    const host = await startRegistry(folder, { tls: true });
    await push(host, 'n/x:t');
    await refused(host, { kind: 'imageNotFound', data: { reason: 'unreachable' } });
    const certificates = path.join(scratch, 'certs.d', host);
    await mkdir(certificates, { recursive: true });
    await writeFile(path.join(certificates, 'ca.crt'), await readFile(path.join(folder, 'ca.crt')));
    {
      await using store = await open({ certificateFolders: [path.join(scratch, 'certs.d')] });
      await store.remove([(await store.install(parseReference(`${host}/n/x:t`))).digest]);
    }
    const configuration = path.join(scratch, 'registries.conf');
    await writeFile(configuration, `[[registry]]\nlocation = "${host}"\ninsecure = true\n`);
    await using store = await open({ configurationFiles: [configuration] });
    await installed(store, `${host}/n/x:t`);
  });

  it('has mirrors, which are tried first, and may be blocked', async () => {
    const host = await startRegistry(path.join(scratch, 'registry'));
    await push(host, 'mirrored/x:t');
    const configuration = path.join(scratch, 'registries.conf');
    await writeFile(
      configuration,
      `[[registry]]\nprefix = "example.org/n"\nlocation = "127.0.0.1:1/n"\n[[registry.mirror]]\nlocation = "127.0.0.1:2/x"\n[[registry.mirror]]\nlocation = "${host}/mirrored"\n
[[registry]]\nprefix = "example.org/n/bad"\nblocked = true\n`,
    );
    await using store = await open({ configurationFiles: [configuration] });
    await installed(store, 'example.org/n/x:t');
    expect((await store.list())[0]?.names).toEqual(['example.org/n/x:t']);
    await expect(store.install(parseReference('example.org/n/bad/x'))).rejects.toMatchObject({
      kind: 'imageUnauthorized',
      data: { reason: 'blocked' },
    });
  });
});

it('credentials of the call are for the registry, not for its mirrors', async () => {
  const host = await startRegistry(path.join(scratch, 'registry'), { basic: true });
  await push(host, 'n/x:t', '--dest-creds', `${user.username}:${user.password}`);
  const seen: (string | undefined)[] = [];
  const mirror = await startFront(host, (incoming) => {
    if (incoming.url !== '/v2/') seen.push(incoming.headers.authorization);
    return false;
  });
  const configuration = path.join(scratch, 'registries.conf');
  await writeFile(configuration, `[[registry]]\nlocation = "${host}"\n[[registry.mirror]]\nlocation = "${mirror}"\n`);
  await using store = await open({ configurationFiles: [configuration] });
  await store.install(parseReference(`${host}/n/x:t`), { credentials: user });
  expect(seen.length).toBeGreaterThan(0);
  expect(seen.every((authorization) => authorization === undefined)).toBe(true);
});

describe('with faults on the way', () => {
  let host: string;
  beforeEach(async () => {
    host = await startRegistry(path.join(scratch, 'registry'));
    await push(host, 'n/x:t');
  });

  const isBlob = (url: string | undefined) => url?.includes('/blobs/') === true;
  const front = async (meddle: Meddle, change?: Change) => await startFront(host, meddle, change);

  it.each([true, false])(
    'a blob whose connection is cut at every tenth of it arrives whole (ranges: %s)',
    async (ranges) => {
      const asked: (string | undefined)[] = [];
      const cut = await front(
        (incoming) => {
          if (!ranges) delete incoming.headers.range;
          return false;
        },
        (incoming, answer, outgoing) => {
          const length = Number(answer.headers['content-length']);
          if (!isBlob(incoming.url) || !(length > 50_000)) return false;
          asked.push(incoming.headers.range);
          outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
          // Without ranges it would never come to an end if it were cut at the same place each time.
          const most = ranges ? 60_000 : 60_000 * asked.length;
          let passed = 0;
          answer.on('data', (piece: Buffer) => {
            const part = piece.subarray(0, Math.max(0, most - passed));
            passed += part.length;
            outgoing.write(part, () => {
              if (passed >= most) outgoing.destroy();
            });
          });
          answer.on('end', () => outgoing.end());
          return true;
        },
      );
      await using store = await open({ retries: 3 });
      await installed(store, `${cut}/n/x:t`);
      expect(asked.length).toBeGreaterThanOrEqual(10);
      if (ranges) expect(asked[1]).toMatch(/^bytes=\d+-$/);
    },
  );

  it('a registry that is busy is asked again, after as long as it says', async () => {
    let busy = 4;
    const times: number[] = [];
    const front429 = await front((incoming, outgoing) => {
      if (!isBlob(incoming.url)) return false;
      times.push(performance.now());
      busy -= 1;
      if (busy <= 0) return false;
      outgoing.writeHead([429, 503, 500][busy % 3] ?? 500, busy === 3 ? { 'retry-after': '1' } : {}).end();
      return true;
    });
    await using store = await open({ retries: 4 });
    await installed(store, `${front429}/n/x:t`);
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(700);
  });

  const always = (status: number, headers: Record<string, string> = {}, body = ''): Meddle => {
    return (incoming, outgoing) => {
      if (incoming.url === '/v2/') return false;
      outgoing.writeHead(status, headers).end(body);
      return true;
    };
  };

  it.each<[string, Meddle, object, string[]?]>([
    ['401 without a challenge', always(401), { kind: 'imageUnauthorized' }],
    [
      '401 with a challenge of another kind',
      always(401, { 'www-authenticate': 'Negotiate' }),
      { kind: 'imageUnauthorized', data: { schemes: ['negotiate'] } },
    ],
    [
      '401 with a service that is not there',
      always(401, { 'www-authenticate': 'Bearer realm="http://127.0.0.1:1/x"' }),
      { kind: 'imageNotFound', data: { reason: 'unreachable' } },
      ['127.0.0.1:1'],
    ],
    [
      '403',
      always(403, {}, '{"errors":[{"code":"DENIED","message":"no"}]}'),
      { kind: 'imageUnauthorized', data: { status: 403, message: 'DENIED: no' } },
    ],
    ['404', always(404), { kind: 'imageNotFound', data: { status: 404 } }],
    ['429 without end', always(429), { kind: 'overloaded' }],
    [
      '429 for an hour',
      always(429, { 'retry-after': '3600' }),
      { kind: 'overloaded', data: { retryAfterMs: 3_600_000 } },
    ],
    [
      '429 until a date',
      always(429, { 'retry-after': 'Fri, 31 Dec 9999 23:59:59 GMT' }),
      { kind: 'overloaded', data: { retryAfterMs: expect.toSatisfy((ms: number) => ms > 1e14) as number } },
    ],
    ['500 without end', always(500), { kind: 'imageNotFound', data: { reason: 'registryFailed' } }],
    ['a redirect in a circle', always(307, { location: '/v2/n/x/manifests/t' }), { kind: 'imageInvalid' }],
    [
      'a redirect to something else than http',
      always(307, { location: 'file:///etc/passwd' }),
      { kind: 'imageInvalid' },
    ],
    ['a manifest that is not JSON', always(200, {}, '<html>'), { kind: 'imageInvalid' }],
    [
      'a manifest with sha512 digests',
      always(
        200,
        { 'content-type': 'application/vnd.oci.image.manifest.v1+json' },
        JSON.stringify({
          schemaVersion: 2,
          config: {
            mediaType: 'application/vnd.oci.image.config.v1+json',
            digest: `sha512:${'0'.repeat(128)}`,
            size: 2,
          },
          layers: [],
        }),
      ),
      { kind: 'imageInvalid', message: expect.stringContaining('sha512 is not supported') as string },
    ],
    [
      'a manifest with a wrong digest',
      always(200, { 'docker-content-digest': digest('x') }, '{}'),
      { kind: 'digestMismatch' },
    ],
    [
      'a connection that is closed at once',
      (incoming) => {
        if (incoming.url === '/v2/') return false;
        incoming.socket.destroy();
        return true;
      },
      { kind: 'imageNotFound', data: { reason: 'unreachable' } },
    ],
    [
      'a manifest of 100 MB',
      (incoming, outgoing) => {
        if (incoming.url === '/v2/') return false;
        outgoing.writeHead(200, { 'content-length': 100_000_000 });
        outgoing.write('{');
        return true;
      },
      { kind: 'imageInvalid', data: { limit: 'manifestBytes' } },
    ],
    [
      'a manifest of 100 MB that does not say so',
      (incoming, outgoing) => {
        if (incoming.url === '/v2/') return false;
        send(outgoing, 100_000_000);
        return true;
      },
      { kind: 'imageInvalid', data: { limit: 'manifestBytes' } },
    ],
    [
      'a manifest that never ends',
      (incoming, outgoing) => {
        if (incoming.url === '/v2/') return false;
        send(outgoing, Infinity);
        return true;
      },
      { kind: 'imageInvalid', data: { limit: 'manifestBytes' } },
    ],
    [
      'a configuration that never ends',
      (incoming, outgoing) => {
        if (!isBlob(incoming.url)) return false;
        send(outgoing, Infinity);
        return true;
      },
      { kind: 'digestMismatch' },
    ],
    ['an answer that never comes', (incoming) => incoming.url !== '/v2/', { kind: 'timeout' }],
  ])('%s is an error, and leaves nothing', async (_what, meddle, expected, named = []) => {
    const configurationFiles = [await naming(scratch, named)];
    await refused(await front(meddle), expected, { configurationFiles, answerTimeoutMs: 300, retries: 1 });
  });

  const layer: Of = (answer) => Number(answer.headers['content-length']) > 50_000;
  const configuration: Of = (answer) => !layer(answer);
  type Of = (answer: Parameters<Change>[1]) => boolean;
  type Fault = (answer: Parameters<Change>[1], outgoing: Parameters<Change>[2]) => void;
  const wrongBytes: Fault = (answer, outgoing) => {
    outgoing.writeHead(200, answer.headers);
    answer.on('data', (piece: Buffer) => outgoing.write(Buffer.alloc(piece.length)));
    answer.on('end', () => outgoing.end());
  };
  const wrongLength: Fault = (answer, outgoing) => {
    outgoing.writeHead(200, { 'content-length': 10 }).end('0123456789');
    answer.resume();
  };
  const stalled: Fault = (answer, outgoing) => {
    outgoing.writeHead(200, answer.headers);
    outgoing.flushHeaders();
    answer.resume();
  };
  const neverEnding: Fault = (answer, outgoing) => {
    send(outgoing, Infinity);
    answer.resume();
  };
  it.each<[string, Of, Fault, object]>([
    ['a layer of wrong bytes', layer, wrongBytes, { kind: 'digestMismatch' }],
    ['a layer of a wrong length', layer, wrongLength, { kind: 'imageInvalid' }],
    ['a layer that stalls', layer, stalled, { kind: 'imageNotFound', data: { reason: 'broken', done: 0 } }],
    ['a layer that never ends', layer, neverEnding, { kind: 'imageInvalid' }],
    ['a configuration of wrong bytes', configuration, wrongBytes, { kind: 'digestMismatch' }],
    ['a configuration of a wrong length', configuration, wrongLength, { kind: 'digestMismatch' }],
    ['a configuration that stalls', configuration, stalled, { kind: 'imageNotFound', data: { reason: 'broken' } }],
  ])('%s is an error, and leaves nothing', async (_what, of, fault, expected) => {
    const change: Change = (incoming, answer, outgoing) => {
      if (!isBlob(incoming.url) || !of(answer)) return false;
      fault(answer, outgoing);
      return true;
    };
    await refused(await front(() => false, change), expected, { idleTimeoutMs: 300, retries: 1 });
  });

  it('credentials do not follow a redirect to another host', async () => {
    const seen: (string | undefined)[] = [];
    const elsewhere = await front((incoming) => {
      seen.push(incoming.headers.authorization);
      return false;
    });
    const authorized: (string | undefined)[] = [];
    const redirecting = await front((incoming, outgoing) => {
      if (incoming.headers.authorization === undefined && incoming.url !== '/v2/') {
        outgoing.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
        return true;
      }
      authorized.push(incoming.headers.authorization);
      if (!isBlob(incoming.url)) return false;
      outgoing.writeHead(307, { location: `http://${elsewhere}${incoming.url ?? ''}` }).end();
      return true;
    });
    await using store = await open({ configurationFiles: [await naming(scratch, [elsewhere])] });
    await store.install(parseReference(`${redirecting}/n/x:t`), { credentials: user });
    expect(authorized).toContain(`Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`);
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.every((authorization) => authorization === undefined)).toBe(true);
  });

  it('credentials do not go to a token service that another host names, to which a registry redirected', async () => {
    const asked: (string | undefined)[] = [];
    const tokens = await front((incoming, outgoing) => {
      asked.push(incoming.headers.authorization);
      outgoing.writeHead(200).end('{"token": "stolen"}');
      return true;
    });
    const elsewhere = await front((_incoming, outgoing) => {
      outgoing.writeHead(401, { 'www-authenticate': `Bearer realm="http://${tokens}/token",service="x"` }).end();
      return true;
    });
    for (const isRedirected of [isBlob, (url: string | undefined) => url !== '/v2/']) {
      const redirecting = await front((incoming, outgoing) => {
        if (!isRedirected(incoming.url)) return false;
        outgoing.writeHead(307, { location: `http://${elsewhere}${incoming.url ?? ''}` }).end();
        return true;
      });
      const store = await open({ configurationFiles: [await naming(scratch, [elsewhere, tokens])] });
      const installing = store.install(parseReference(`${redirecting}/n/x:t`), { credentials: user });
      await expect(installing).rejects.toMatchObject({ kind: 'imageUnauthorized', data: { status: 401 } });
      await store[Symbol.asyncDispose]();
    }
    expect(asked).toEqual([]);
  });

  it('cancelling ends it at once', async () => {
    const stalled = await front((incoming) => isBlob(incoming.url));
    const store = await open();
    const stop = new AbortController();
    const installing = store.install(parseReference(`${stalled}/n/x:t`), { signal: stop.signal });
    setTimeout(() => {
      stop.abort();
    }, 100);
    await expect(installing).rejects.toMatchObject({ name: 'AbortError' });
    await store[Symbol.asyncDispose]();
    expect(await leftovers(store.root)).toEqual([]);
  });
});

/** Answers with so many spaces. */
function send(outgoing: Parameters<Meddle>[1], length: number): void {
  const piece = Buffer.alloc(65_536, ' ');
  let sent = 0;
  const more = () => {
    sent += piece.length;
    if (sent >= length) outgoing.end();
    else if (!outgoing.destroyed) outgoing.write(piece, more);
  };
  outgoing.writeHead(200);
  more();
}
