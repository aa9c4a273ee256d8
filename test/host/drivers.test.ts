// Installing, updating, listing and removing drivers through the protocol, by Babelfish's rules.
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, afterAll, describe, expect, it } from 'vitest';
import { buildScriptDriver } from '../support/driver-images.ts';
import { serveHost } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder, temporaryFolder } from '../support/temporary-folder.ts';

/** Answers every request with the version that its image was built with, after a moment where the content says so. */
const versioned = (version: string): string => `
while IFS= read -r line; do
  case "$line" in *slow*) busybox sleep 0.5 ;; esac
  printf '{"status":"ok","errors":[],"ast":"${version}"}\\n'
done`;

let images: string;
let first: string;
let second: string;

beforeAll(async () => {
  images = await makeTemporaryFolder();
  first = await buildScriptDriver(images, { language: 'tongue', version: '1', script: versioned('1') });
  second = await buildScriptDriver(images, { language: 'tongue', version: '2', script: versioned('2') });
});
afterAll(() => removeFolder(images));

describe('drivers', () => {
  it('are installed, listed, inspected and removed', async () => {
    const root = await temporaryFolder();
    await using host = serveHost(root);
    const { client } = host;
    expect(await client.request('driver/list', {})).toEqual({ drivers: [] });
    const phases = new Set<string>();
    const { driver } = await client.request(
      'driver/install',
      { reference: first },
      {
        onProgress: (progress) =>
          phases.add(progress.kind === 'report' ? (progress.detail?.phase ?? '') : progress.kind),
      },
    );
    expect(driver).toMatchObject({ language: 'tongue', reference: first, manifest: { version: '1', aliases: [] } });
    expect(phases).toContain('begin');
    expect(phases).toContain('unpack');
    expect(phases).toContain('end');
    expect(await client.request('driver/list', {})).toEqual({ drivers: [driver] });
    expect(await client.request('driver/inspect', { language: 'TONGUE' })).toEqual(driver);
    expect(await client.request('host/languages', {})).toEqual({ languages: [driver.manifest] });
    expect(await client.request('driver/remove', { language: 'tongue' })).toEqual({ removed: [driver.digest] });
    expect(await client.request('driver/list', {})).toEqual({ drivers: [] });
    await expect(client.request('driver/inspect', { language: 'tongue' })).rejects.toMatchObject({
      kind: 'driverNotInstalled',
    });
    await expect(client.request('driver/remove', { language: 'tongue' })).rejects.toMatchObject({
      kind: 'driverNotInstalled',
    });
    expect(JSON.parse(await readFile(path.join(root, 'drivers.json'), 'utf8'))).toEqual({ drivers: {} });
  });

  it('are replaced only when told to update, while requests in flight finish on the old one', async () => {
    await using host = serveHost(await temporaryFolder());
    const { client } = host;
    const { driver: old } = await client.request('driver/install', { reference: first });
    const parse = (content: string): Promise<unknown> =>
      client.request('parse', { content, language: 'tongue' }).then(({ uast }) => uast);
    expect(await parse('x')).toBe('1');
    await expect(client.request('driver/install', { reference: second })).rejects.toMatchObject({
      kind: 'driverAlreadyInstalled',
      message: expect.stringContaining('--update') as string,
      data: { language: 'tongue', digest: old.digest },
    });
    const slow = parse('slow');
    const updated = await client.request('driver/install', { reference: second, update: true });
    expect(updated).toMatchObject({ replaced: old.digest, unchanged: false, driver: { manifest: { version: '2' } } });
    expect(await parse('x')).toBe('2');
    expect(await slow).toBe('1');
    expect(await client.request('driver/install', { reference: second, update: true })).toMatchObject({
      unchanged: true,
    });
    // The old image goes with its last instance.
    await expect.poll(async () => (await client.request('image/list', {})).images.length).toBe(1);
    await expect.poll(async () => (await client.request('host/instances', {})).instances.length).toBe(1);
  });

  it('survive the host, and its death', async () => {
    const root = await temporaryFolder();
    const host = serveHost(root);
    const { driver } = await host.client.request('driver/install', { reference: first });
    host.child.kill('SIGKILL');
    await host.ended;
    await rm(path.join(root, 'drivers.json'));
    await using next = serveHost(root);
    expect(await next.client.request('driver/list', {})).toEqual({ drivers: [driver] });
    expect((await next.client.request('parse', { content: 'x', language: 'tongue' })).uast).toBe('1');
  });

  it('that another process installs are seen', async () => {
    const root = await temporaryFolder();
    await using one = serveHost(root);
    await using other = serveHost(root);
    expect(await one.client.request('driver/list', {})).toEqual({ drivers: [] });
    const { driver } = await other.client.request('driver/install', { reference: first });
    await expect.poll(() => one.client.request('driver/list', {})).toEqual({ drivers: [driver] });
    expect((await one.client.request('parse', { content: 'x', language: 'tongue' })).uast).toBe('1');
  });

  it('are refused where the image is for another language than was asked for', async () => {
    await using host = serveHost(await temporaryFolder());
    await expect(host.client.request('driver/install', { reference: first, language: 'python' })).rejects.toMatchObject(
      {
        kind: 'driverMalformed',
        data: { language: 'python', found: 'tongue' },
      },
    );
    expect(await host.client.request('image/list', {})).toEqual({ images: [] });
  });

  it.each([
    ['a manifest that is no TOML', 'language = '],
    ['a manifest without a language', 'name = "x"'],
    ['a manifest whose language is a path', 'language = "../../x"'],
  ])('are refused with %s, and nothing of them is left', async (_what, manifest) => {
    const folder = await temporaryFolder();
    const reference = await buildScriptDriver(folder, { language: 'broken', script: 'exit 0', manifest });
    await using host = serveHost(path.join(folder, 'root'));
    await expect(host.client.request('driver/install', { reference })).rejects.toMatchObject({
      kind: 'driverMalformed',
    });
    expect(await host.client.request('image/list', {})).toEqual({ images: [] });
  });

  it('are refused without a manifest, or without a parser', async () => {
    const folder = await temporaryFolder();
    await mkdir(path.join(folder, 'recipe'));
    await writeFile(path.join(folder, 'recipe', 'x'), 'x');
    const build = async (to: string): Promise<string> => {
      await writeFile(
        path.join(folder, 'recipe', 'image.toml'),
        `name = "test/x"\n[[layer]]\n[[layer.files]]\nfrom = "x"\nto = "${to}"\n[config]\n`,
      );
      return `oci:${path.join(folder, `image-${path.basename(to)}`)}:x`;
    };
    await using host = serveHost(path.join(folder, 'root'));
    for (const to of ['/x', '/opt/driver/etc/manifest.toml']) {
      const reference = await build(to);
      await host.client.request('image/build', { directory: path.join(folder, 'recipe'), output: reference });
      await expect(host.client.request('driver/install', { reference })).rejects.toMatchObject({
        kind: 'driverMalformed',
      });
    }
  });

  it('of which there is none are not found', async () => {
    const folder = await temporaryFolder();
    await using host = serveHost(path.join(folder, 'root'));
    const { client } = host;
    for (const reference of [`oci:${folder}/none:x`, `oci-archive:${folder}/none.tar`]) {
      await expect(client.request('driver/install', { reference })).rejects.toMatchObject({ kind: 'imageNotFound' });
    }
    await expect(client.request('driver/install', { reference: 'UPPER CASE' })).rejects.toMatchObject({
      kind: 'imageInvalid',
    });
  });

  it('are seen as they start, under the id that they then have, and may be ended as they do', async () => {
    const root = await temporaryFolder();
    await using host = serveHost(root, ['--max-instances', '1']);
    const { client } = host;
    await client.request('driver/install', { reference: first });
    const instances = async () => (await client.request('host/instances', { language: 'tongue' })).instances;
    const nextStarting = async () => {
      for (;;) {
        const found = (await instances()).find(({ state }) => state === 'starting');
        if (found !== undefined) return found;
      }
    };
    const parse = client.request('parse', { content: 'x', language: 'tongue' });
    const starting = await nextStarting();
    expect(starting).toEqual({
      id: expect.stringMatching(/^[0-9A-Z]{26}$/) as string,
      language: 'tongue',
      image: expect.stringMatching(/^sha256:/) as string,
      state: 'starting',
      pids: [],
      requests: 0,
      ageMs: expect.any(Number) as number,
    });
    expect((await parse).uast).toBe('1');
    expect(await instances()).toMatchObject([{ id: starting.id, state: 'idle', pid: expect.any(Number) as number }]);

    await client.request('host/kill', { all: true });
    const again = client.request('parse', { content: 'y', language: 'tongue' });
    const { id } = await nextStarting();
    expect(await client.request('host/kill', { id })).toEqual({ killed: [id] });
    expect((await again).uast).toBe('1');
    expect((await instances()).map((instance) => instance.id)).not.toContain(id);
    expect((await client.request('host/status', {})).pools).toMatchObject([{ state: 'running', failed: 0 }]);
  });

  it('of which two are on disk for one language are dirty, and say how to mend it', async () => {
    const root = await temporaryFolder();
    await using host = serveHost(root);
    const { client } = host;
    await client.request('driver/install', { reference: first });
    const index = path.join(root, 'index.json');
    const before = JSON.parse(await readFile(index, 'utf8')) as { manifests: object[] };
    await client.request('driver/install', { reference: second, update: true });
    const after = JSON.parse(await readFile(index, 'utf8')) as { manifests: object[] };
    // As if by another program's hand: ours replaces one by the other in one rename. Building the first image again
    // brings its blobs back.
    await client.request('image/build', { directory: path.join(images, 'recipe-tongue-1') });
    const with1 = JSON.parse(await readFile(index, 'utf8')) as { manifests: { digest: string }[] };
    const kept = with1.manifests.filter(({ digest }) => !JSON.stringify([before, after]).includes(digest));
    await writeFile(index, JSON.stringify({ ...after, manifests: [...before.manifests, ...after.manifests, ...kept] }));
    await expect
      .poll(() => client.request('driver/list', {}).catch((error: unknown) => error))
      .toMatchObject({ kind: 'storageDirty', message: expect.stringContaining('driver remove tongue') as string });
    await expect(client.request('parse', { content: 'x', language: 'tongue' })).rejects.toMatchObject({
      kind: 'storageDirty',
    });
    await expect(client.request('driver/install', { reference: first, update: true })).rejects.toMatchObject({
      kind: 'storageDirty',
    });
    expect((await client.request('driver/remove', { language: 'tongue' })).removed).toHaveLength(2);
    await client.request('driver/install', { reference: first });
    expect((await client.request('parse', { content: 'x', language: 'tongue' })).uast).toBe('1');
  });
});
