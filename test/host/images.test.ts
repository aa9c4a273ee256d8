// Images through the protocol, with real registries: pulled, pushed, removed, pruned; what is given with a call stays
// with the call; cancelling ends it.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import path from 'node:path';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import { file, tar } from '../images/support/archives.ts';
import { layoutWith } from '../images/support/layouts.ts';
import { naming, startFront, startRegistry, startTokenService, user } from '../images/support/registries.ts';
import { leftovers } from '../images/support/stores.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { serveHost } from '../support/served-host.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let scratch: string;
let root: string;
const layers = [randomBytes(700_000), randomBytes(300_000)].map((content, index) => ({
  archive: tar(file(`random-${index}`, content)),
  compression: 'gzip' as const,
}));

beforeEach(async () => {
  scratch = await temporaryFolder();
  root = path.join(scratch, 'root');
});

/** An image of two layers in a layout, and its reference. */
async function someImage(): Promise<string> {
  const folder = path.join(scratch, 'layout');
  await layoutWith(folder, layers, { name: 'x' });
  return `oci:${folder}:x`;
}

/** A registry that has the image as n/x:t. */
async function registryWithImage(): Promise<string> {
  const host = await startRegistry(path.join(scratch, 'registry'));
  await execa('skopeo', ['copy', '--dest-tls-verify=false', await someImage(), `docker://${host}/n/x:t`]);
  return host;
}

const driverScript = `while IFS= read -r line; do printf '{"status":"ok","errors":[],"ast":"1"}\\n'; done`;

describe('images', () => {
  it('are pulled with progress in bytes for each layer, and found by name and digest', async () => {
    const host = await registryWithImage();
    await using served = serveHost(root);
    const { client } = served;
    const last = new Map<string, { done: number; total?: number }>();
    const image = await client.request(
      'image/pull',
      { reference: `${host}/n/x:t` },
      {
        onProgress: (progress) => {
          if (progress.kind !== 'report' || progress.detail?.phase !== 'fetch') return;
          const { item = '', ...amount } = progress.detail;
          expect(amount.done).toBeGreaterThanOrEqual(last.get(item)?.done ?? 0);
          last.set(item, amount);
        },
      },
    );
    expect(image.names).toEqual([`${host}/n/x:t`]);
    expect([...last].sort()).toMatchObject(
      image.layers
        .map(({ digest, sizeBytes }) => [digest, { done: sizeBytes, total: sizeBytes }] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
    expect(await client.request('image/list', {})).toEqual({ images: [image] });
    expect(await client.request('image/inspect', { name: image.digest.slice(0, 19) })).toEqual(image);
  });

  it('are chosen by platform', async () => {
    const host = await registryWithImage();
    await using served = serveHost(root);
    await expect(
      served.client.request('image/pull', { reference: `${host}/n/x:t`, platform: 'plan9/386' }),
    ).rejects.toMatchObject({ kind: expect.stringMatching(/^image/) as string });
    await expect(
      served.client.request('image/pull', { reference: `${host}/n/x:t`, platform: 'nonsense' }),
    ).rejects.toMatchObject({ code: -32602 });
  });

  it('are pushed to where their name says, and to where a reference does', async () => {
    const host = await startRegistry(path.join(scratch, 'registry'));
    await using served = serveHost(root);
    const { client } = served;
    const { digest } = await client.request('image/pull', { reference: await someImage() });
    // Its only name is a layout's, which says nothing of a registry.
    await expect(client.request('image/push', { name: 'x' })).rejects.toMatchObject({ kind: 'imageInvalid' });
    const reference = `docker://${host}/n/y:1`;
    const phases = new Set<string>();
    expect(
      await client.request(
        'image/push',
        { name: 'x', reference },
        { onProgress: (progress) => phases.add(progress.kind === 'report' ? (progress.detail?.phase ?? '') : '') },
      ),
    ).toEqual({ digest, reference });
    expect(phases).toContain('push');
    await client.request('image/pull', { reference });
    expect(await client.request('image/push', { name: `${host}/n/y:1` })).toEqual({ digest, reference });
    expect(await client.request('image/push', { name: digest })).toEqual({ digest, reference });
    const { stdout } = await execa('skopeo', ['inspect', '--tls-verify=false', reference]);
    expect(JSON.parse(stdout)).toMatchObject({ Digest: digest });
    await expect(client.request('image/push', { name: 'none' })).rejects.toMatchObject({ kind: 'imageNotFound' });
  });

  it('are removed, but for installed drivers; what nothing refers to is pruned', async () => {
    const driver = await buildScriptDriver(scratch, { language: 'tongue', script: driverScript });
    await using served = serveHost(root);
    const { client } = served;
    const pulled = await client.request('image/pull', { reference: await someImage() });
    expect(await client.request('image/remove', { name: 'x' })).toEqual({ removed: pulled.digest, names: ['x'] });
    await expect(client.request('image/remove', { name: 'x' })).rejects.toMatchObject({ kind: 'imageNotFound' });

    const { driver: installed } = await client.request('driver/install', { reference: driver });
    await client.request('parse', { content: 'x', language: 'tongue' });
    await expect(client.request('image/remove', { name: installed.digest })).rejects.toMatchObject({
      kind: 'conflict',
      message: expect.stringContaining('driver remove tongue') as string,
      data: { language: 'tongue' },
    });
    await client.request('image/remove', { name: installed.digest, force: true });
    await expect(client.request('parse', { content: 'x', language: 'tongue' })).rejects.toMatchObject({
      kind: 'driverNotInstalled',
    });
    await expect.poll(async () => (await client.request('host/instances', {})).instances).toEqual([]);

    // The same name for another image: the first one has none any more.
    const recipe = path.join(scratch, 'recipe');
    await mkdir(recipe);
    const build = async (content: string): Promise<string> => {
      await writeFile(path.join(recipe, 'x'), content);
      await writeFile(
        path.join(recipe, 'image.toml'),
        'name = "test/x"\n[[layer]]\n[[layer.files]]\nfrom = "x"\nto = "/x"\n',
      );
      return (await client.request('image/build', { directory: recipe })).digest;
    };
    const first = await build('first');
    const second = await build('second');
    const pruned = await client.request('image/prune', {});
    expect(pruned.removed).toContain(first);
    expect(pruned.removed).not.toContain(second);
    expect(pruned.freedBytes).toBeGreaterThan(0);
    expect((await client.request('image/list', {})).images.map(({ digest }) => digest)).toEqual([second]);
    expect(await client.request('image/prune', {})).toEqual({ removed: [], freedBytes: 0 });
    await served.stop();
    expect((await leftovers(root)).filter((name) => !/^(?:drivers\.json|containers)$/.test(name))).toEqual([]);
  });

  it('that are built to an output are there and not in the store', async () => {
    const recipe = path.join(scratch, 'recipe');
    await mkdir(recipe);
    await writeFile(path.join(recipe, 'image.toml'), 'name = "test/x"\ndirectories = ["/x"]\n');
    await using served = serveHost(root);
    const { client } = served;
    const output = `oci:${path.join(scratch, 'out')}:x`;
    const built = await client.request('image/build', { directory: recipe, output, platform: 'linux/arm64' });
    expect(built.platform).toBe('linux/arm64');
    expect(await client.request('image/list', {})).toEqual({ images: [] });
    const { stdout } = await execa('skopeo', ['inspect', output]);
    expect(JSON.parse(stdout)).toMatchObject({ Digest: built.digest, Architecture: 'arm64' });
  });
});

describe('a recipe', () => {
  it('is built and installed as a driver in one request, and again where it has changed', async () => {
    await buildScriptDriver(scratch, { language: 'tongue', script: driverScript });
    const recipe = path.join(scratch, 'recipe-tongue-1');
    await using served = serveHost(root);
    const { client } = served;
    const phases = new Set<string>();
    const { driver } = await client.request(
      'driver/install',
      { recipe, language: 'tongue' },
      {
        onProgress: (progress) => phases.add(progress.kind === 'report' ? (progress.detail?.phase ?? '') : ''),
      },
    );
    expect(driver).toMatchObject({ language: 'tongue', reference: `oci:${root}:docker.io/test/tongue:1` });
    expect([...phases]).toEqual(expect.arrayContaining(['collect', 'unpack']));
    expect((await client.request('parse', { content: 'x', language: 'tongue' })).uast).toBe('1');
    await expect(client.request('driver/install', { recipe, language: 'tongue' })).rejects.toMatchObject({
      kind: 'driverAlreadyInstalled',
    });
    expect(await client.request('driver/install', { recipe, update: true })).toMatchObject({ unchanged: true });
    await writeFile(path.join(recipe, 'native'), `#!/bin/sh\n${driverScript.replace('"1"', '"2"')}\n`);
    const updated = await client.request('driver/install', { recipe, update: true });
    expect(updated).toMatchObject({ replaced: driver.digest, unchanged: false });
    expect((await client.request('parse', { content: 'x', language: 'tongue' })).uast).toBe('2');
    await expect.poll(async () => (await client.request('image/list', {})).images.length).toBe(1);
  });

  it('without a name is installed as well; a folder without one is not found', async () => {
    await buildScriptDriver(scratch, { language: 'tongue', script: driverScript });
    const recipe = path.join(scratch, 'recipe-tongue-1');
    const toml = path.join(recipe, 'image.toml');
    await writeFile(toml, (await readFile(toml, 'utf8')).replace(/^name = .*\n/, ''));
    await using served = serveHost(root);
    const { client } = served;
    await client.request('driver/install', { recipe });
    expect((await client.request('driver/list', {})).drivers).toHaveLength(1);
    await expect(client.request('driver/install', { recipe: scratch })).rejects.toMatchObject({ kind: 'notFound' });
    await expect(client.request('driver/install', { recipe, reference: 'x' })).rejects.toMatchObject({ code: -32602 });
    await expect(client.request('driver/install', {})).rejects.toMatchObject({ code: -32602 });
  });
});

describe('credentials that are given with a call', () => {
  /** In every form in which they travel, and in which a careless program would write them down. */
  const secrets = [
    user.password,
    'wrong secret',
    'identity-secret',
    encodeURIComponent(user.password),
    Buffer.from(user.password).toString('base64'),
    Buffer.from(`${user.username}:${user.password}`).toString('base64'),
    Buffer.from(`${user.username}:wrong secret`).toString('base64'),
  ];

  /** All files below a folder that are not layers, as text. */
  async function everythingIn(folder: string): Promise<string> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
    return (await Promise.all(files.map((name) => readFile(name, 'latin1').then((text) => `${name}\n${text}`)))).join();
  }

  it.each(['basic', 'token'] as const)('serve for that call (%s), and are written nowhere', async (kind) => {
    const token = kind === 'token' ? await startTokenService(path.join(scratch, 'tokens')) : undefined;
    const registry = await startRegistry(
      path.join(scratch, 'registry'),
      token === undefined ? { basic: true } : { token },
    );
    const driver = await buildScriptDriver(scratch, { language: 'tongue', script: driverScript });
    const configuration = await naming(scratch, token === undefined ? [] : [token.host]);
    await using served = serveHost(root, ['--log-level', 'trace'], { CONTAINERS_REGISTRIES_CONF: configuration });
    const { client } = served;
    let told = '';
    served.child.stderr.on('data', (text: string) => (told += text));
    served.child.stdout.on('data', (bytes: Buffer) => (told += bytes.toString('utf8')));
    await client.notify('$/setTrace', { value: 'verbose' });
    const name = `${registry}/n/tongue:1`;
    const credentials = user;

    await client.request('image/pull', { reference: driver });
    await expect(client.request('image/push', { name: '1', reference: name })).rejects.toMatchObject({
      kind: 'imageUnauthorized',
    });
    await client.request('image/push', { name: '1', reference: name, credentials });
    await client.request('image/remove', { name: '1' });
    for (const method of ['image/pull', 'driver/install'] as const) {
      for (const wrong of [
        undefined,
        { username: user.username, password: 'wrong secret' },
        { identityToken: 'identity-secret' },
      ]) {
        const params = { reference: name, ...(wrong !== undefined && { credentials: wrong }) };
        await expect(client.request(method, params)).rejects.toMatchObject({ kind: 'imageUnauthorized' });
      }
      await client.request(method, { reference: name, credentials });
      // They were the call's and not the host's.
      await expect(client.request(method, { reference: name })).rejects.toMatchObject({ kind: 'imageUnauthorized' });
    }
    // Wrong parameters are told without what is in them.
    for (const params of [
      { ...user, more: 'identity-secret' },
      { username: user.username, 'wrong secret': 1 },
      { identityToken: 'identity-secret', password: user.password },
      'wrong secret',
    ]) {
      await expect(
        client.request('image/pull', { reference: name, credentials: params as typeof user }),
      ).rejects.toMatchObject({ code: -32602, message: expect.stringContaining('credentials') as string });
    }
    await served.stop();
    expect(served.log()).toContain('"level":10');
    const written = told + (await everythingIn(root));
    expect(written).toContain('n/tongue');
    for (const secret of secrets) expect(written).not.toContain(secret);
  });
});

describe('cancelling', () => {
  it.each(['image/pull', 'driver/install'] as const)(
    '%s ends its fetches at once and leaves nothing',
    async (method) => {
      const registry = await registryWithImage();
      let begun: (blob: ServerResponse) => void = () => undefined;
      const endless = new Promise<ServerResponse>((resolve) => (begun = resolve));
      const front = await startFront(registry, ({ url = '', method: verb }, outgoing) => {
        if (verb !== 'GET' || !url.includes('/blobs/')) return false;
        // Its first half, and then nothing for ever; the configuration is small and comes whole.
        const requested = layersOf.get(url.replace(/^.*\//, ''));
        if (requested === undefined) return false;
        outgoing.writeHead(200, { 'content-length': requested });
        outgoing.write(randomBytes(1000));
        begun(outgoing);
        return true;
      });
      const { stdout } = await execa('skopeo', [
        'inspect',
        '--raw',
        '--tls-verify=false',
        `docker://${registry}/n/x:t`,
      ]);
      const manifest = JSON.parse(stdout) as { layers: { digest: string; size: number }[] };
      const layersOf = new Map(manifest.layers.map(({ digest, size }) => [digest, size]));

      await using served = serveHost(root);
      const { client } = served;
      const stopping = new AbortController();
      const request = client.request(method, { reference: `${front}/n/x:t` }, { signal: stopping.signal });
      const answered = request.catch((error: unknown) => error);
      const blob = await endless;
      const closed = once(blob, 'close');
      stopping.abort();
      const cancelledAt = performance.now();
      expect(await answered).toMatchObject({ code: -32800 });
      await closed;
      // Far below every timeout that would have ended it otherwise.
      expect(performance.now() - cancelledAt).toBeLessThan(2000);
      expect(await client.request('image/list', {})).toEqual({ images: [] });
      await served.stop();
      expect((await leftovers(root)).filter((name) => !/^(?:drivers\.json|containers)$/.test(name))).toEqual([]);
      expect(served.log()).not.toContain('not foreseen');
    },
  );

  it('a push ends it', async () => {
    const registry = await startRegistry(path.join(scratch, 'registry'));
    let begun: (upload: ServerResponse) => void = () => undefined;
    const hanging = new Promise<ServerResponse>((resolve) => (begun = resolve));
    const front = await startFront(registry, ({ method: verb }, outgoing) => {
      if (verb !== 'POST') return false;
      begun(outgoing);
      return true;
    });
    await using served = serveHost(root);
    const { client } = served;
    await client.request('image/pull', { reference: await someImage() });
    const stopping = new AbortController();
    const answered = client
      .request('image/push', { name: 'x', reference: `${front}/n/x:t` }, { signal: stopping.signal })
      .catch((error: unknown) => error);
    const closed = once(await hanging, 'close');
    stopping.abort();
    expect(await answered).toMatchObject({ code: -32800 });
    await closed;
  });
});
