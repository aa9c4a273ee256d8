// Installing from image layouts and archives of them: what gets in, what does not, and that nothing is left of that.
import { lstat, mkdir, readdir, readFile, readlink, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { execa } from 'execa';
import { describe, expect, it } from 'vitest';
import { ImageStore, parseReference, type Candidate, type Progress } from '../../src/images/index.ts';
import { file, folder, symlink, tar } from './support/archives.ts';
import { digest, LayoutFolder, layoutWith } from './support/layouts.ts';
import { leftovers, openStore, own } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const hello = tar(folder('etc'), file('etc/hello', 'hello\n', { mode: 0o640 }), symlink('link', 'etc/hello'));

describe('installing from an image layout', () => {
  it.each(['none', 'gzip', 'zstd'] as const)('unpacks layers with compression %s', async (compression) => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const config = { User: '1:2', Env: ['A=b'], Entrypoint: ['/x'], Cmd: null, WorkingDir: '/w', Labels: { l: 'v' } };
    const reference = await layoutWith(path.join(scratch, 'layout'), [{ archive: hello, compression }], {
      config,
      name: 'x',
    });
    const progress: Progress[] = [];
    const image = await store.install(reference, { onProgress: (step) => progress.push(step) });
    expect(image).toMatchObject({
      names: ['x'],
      annotations: {},
      config: {
        user: '1:2',
        env: ['A=b'],
        entrypoint: ['/x'],
        command: [],
        workingDirectory: '/w',
        labels: { l: 'v' },
      },
    });
    expect(await store.list()).toEqual([image]);
    expect(await store.inspect(image.digest)).toEqual(image);
    expect(await store.inspect('x')).toEqual(image);
    await using lease = await store.lease(image.digest);
    expect(await readFile(path.join(lease.rootfs, 'etc/hello'), 'utf8')).toBe('hello\n');
    expect((await stat(path.join(lease.rootfs, 'etc/hello'))).mode & 0o7777).toBe(0o640);
    expect(await readlink(path.join(lease.rootfs, 'link'))).toBe('etc/hello');
    expect((await lstat(path.join(lease.rootfs, 'etc'))).mtimeMs).toBe(1_000_000_000_000);
    const layer = image.layers[0];
    for (const phase of ['fetch', 'unpack']) {
      expect(progress.findLast((step) => step.phase === phase)).toEqual({
        phase,
        layer: layer?.digest,
        done: layer?.size,
        total: layer?.size,
      });
    }
  });

  it('leaves a store that skopeo and umoci read', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const reference = await layoutWith(path.join(scratch, 'layout'), [{ archive: hello, compression: 'gzip' }], {
      docker: true,
      name: 'v1',
    });
    const image = await store.install(reference);
    const inspected = await execa('skopeo', ['inspect', `oci:${store.root}:v1`]);
    expect(JSON.parse(inspected.stdout)).toMatchObject({ Digest: image.digest });
    await execa('umoci', ['unpack', '--rootless', '--image', `${store.root}:v1`, path.join(scratch, 'bundle')]);
    expect(await readFile(path.join(scratch, 'bundle/rootfs/etc/hello'), 'utf8')).toBe('hello\n');
  });

  it('gives a name to the image that was installed last under it', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const first = await store.install(await layoutWith(path.join(scratch, 'a'), [{ archive: hello }], { name: 'n' }));
    const second = await store.install(
      await layoutWith(path.join(scratch, 'b'), [{ archive: tar(file('x')) }], { name: 'n' }),
    );
    expect((await store.inspect('n')).digest).toBe(second.digest);
    expect((await store.inspect(first.digest)).names).toEqual([]);
    const pruned = await store.prune();
    expect(pruned.removed).toContain(first.digest);
    expect(pruned.freedBytes).toBe(first.size);
    expect(await store.list()).toHaveLength(1);
    expect(await leftovers(store.root)).toEqual([`sessions/${(await sessions(store.root))[0] ?? ''}`]);
  });

  it('picks the platform out of an index, and says which there are if none fits', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const layout = new LayoutFolder(path.join(scratch, 'layout'));
    const platforms = [
      { os: 'linux', architecture: 's390x' },
      { os: 'linux', architecture: 'arm', variant: 'v6' },
      { os: 'linux', architecture: 'arm', variant: 'v7' },
    ];
    const manifests = [];
    for (const platform of platforms) {
      const archive = tar(file(`${platform.architecture}${platform.variant ?? ''}`));
      manifests.push({ ...(await layout.write([{ archive }], { platform })), platform });
    }
    const index = JSON.stringify({ schemaVersion: 2, manifests });
    await layout.add(await layout.blob(index, 'application/vnd.oci.image.index.v1+json'));
    const reference = parseReference(`oci:${layout.path}`);
    const image = await store.install(reference, { platform: { os: 'linux', architecture: 'arm' } });
    expect(image.platform).toEqual({ os: 'linux', architecture: 'arm', variant: 'v7' });
    await expect(store.install(reference)).rejects.toMatchObject({
      kind: 'imageNotFound',
      data: { platforms: ['linux/s390x', 'linux/arm/v6', 'linux/arm/v7'] },
    });
  });

  it('installs from an archive of a layout, compressed or not', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const layout = path.join(scratch, 'layout');
    await layoutWith(layout, [{ archive: hello, compression: 'gzip' }], { name: 'x' });
    const archive = path.join(scratch, 'a.tar');
    await execa('tar', ['-C', layout, '-cf', archive, '.']);
    await execa('tar', ['-C', layout, '-czf', `${archive}.gz`, '.']);
    const plain = await store.install(parseReference(`oci-archive:${archive}:x`));
    const compressed = await store.install(parseReference(`oci-archive:${archive}.gz`));
    expect(plain.digest).toBe(compressed.digest);
  });

  it.each([
    ['a folder that is none', (at: string) => `oci:${at}/nothing`, 'imageNotFound'],
    ['a name that it lacks', (at: string) => `oci:${at}/layout:other`, 'imageNotFound'],
    ['an archive that is none', (at: string) => `oci-archive:${at}/nothing.tar`, 'imageNotFound'],
    ['an archive of something else', (at: string) => `oci-archive:${at}/layout/index.json`, 'imageInvalid'],
  ])('refuses %s', async (_what, reference, kind) => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    await layoutWith(path.join(scratch, 'layout'), [{ archive: hello }], { name: 'x' });
    await expect(store.install(parseReference(reference(scratch)))).rejects.toMatchObject({ kind });
  });

  it.each([
    ['a layer with other bytes', { archive: hello, blob: Buffer.from('x') }, 'imageInvalid'],
    ['a layer whose archive is another', { archive: hello, diffId: digest('other') }, 'digestMismatch'],
    ['a layer that is longer than it says', { archive: hello, size: 10 }, 'imageInvalid'],
    ['a layer that is shorter than it says', { archive: hello, size: 1_000_000 }, 'imageInvalid'],
    ['a truncated gzip stream', gzipCut(), 'imageInvalid'],
  ])('refuses %s, and nothing of it is left', async (_what, layer, kind) => {
    const scratch = await temporaryFolder();
    const store = await openStore(scratch);
    const reference = await layoutWith(path.join(scratch, 'layout'), [layer]);
    await expect(store.install(reference)).rejects.toMatchObject({ kind });
    expect(await store.list()).toEqual([]);
    await store[Symbol.asyncDispose]();
    expect(await leftovers(store.root)).toEqual([]);
  });

  it('refuses a blob that is not what its name says', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const reference = await layoutWith(path.join(scratch, 'layout'), [{ archive: hello }]);
    const blob = path.join(reference.path, 'blobs/sha256', digest(hello).slice(7));
    const wrong = Buffer.from(hello);
    wrong[700] = 0x58;
    await writeFile(blob, wrong);
    await expect(store.install(reference)).rejects.toMatchObject({
      kind: 'digestMismatch',
      data: { expected: digest(hello), actual: digest(wrong) },
    });
  });
});

describe('accepting an image', () => {
  it('may note things, and replace others in the same instant', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const first = await store.install(await layoutWith(path.join(scratch, 'a'), [{ archive: hello }]), {
      accept: async (candidate, current) => {
        expect(current).toEqual([]);
        expect((await candidate.read('/link')).toString()).toBe('hello\n');
        await expect(candidate.read('/nothing')).rejects.toMatchObject({ kind: 'notFound' });
        await expect(candidate.read('/etc')).rejects.toMatchObject({ kind: 'imageInvalid' });
        await expect(candidate.read('/etc/hello', 3)).rejects.toMatchObject({ kind: 'imageInvalid' });
        return { annotations: { k: 'v' }, names: ['given'] };
      },
    });
    expect(first).toMatchObject({ annotations: { k: 'v' }, names: ['given'] });
    const second = await store.install(await layoutWith(path.join(scratch, 'b'), [{ archive: tar(file('x')) }]), {
      accept: (_candidate, current) => {
        expect(current).toEqual([first]);
        return { replaces: [first.digest] };
      },
    });
    expect(await store.list()).toEqual([second]);
  });

  it('may refuse, and nothing is left', async () => {
    const scratch = await temporaryFolder();
    const store = await openStore(scratch);
    const reference = await layoutWith(path.join(scratch, 'a'), [{ archive: hello }]);
    const refusal = new Error('not this one');
    await expect(store.install(reference, { accept: () => Promise.reject(refusal) })).rejects.toBe(refusal);
    await store[Symbol.asyncDispose]();
    expect(await leftovers(store.root)).toEqual([]);
  });

  it('reads nothing outside of the image, whatever its links say', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    await writeFile(path.join(scratch, 'secret'), 'secret');
    const archive = tar(
      symlink('absolute', path.join(scratch, 'secret')),
      symlink('relative', '../../../../../../../../../../../../etc/passwd'),
      symlink('folder', '/..'),
      symlink('circle', 'circle'),
    );
    const reference = await layoutWith(path.join(scratch, 'a'), [{ archive }]);
    await store.install(reference, {
      accept: async ({ read }) => {
        await expect(read('absolute')).rejects.toMatchObject({ kind: 'notFound' });
        await expect(read('relative')).rejects.toMatchObject({ kind: 'notFound' });
        await expect(read('folder/etc/passwd')).rejects.toMatchObject({ kind: 'notFound' });
        await expect(read('circle')).rejects.toMatchObject({ kind: 'imageInvalid' });
        await expect(read('../../etc/passwd')).rejects.toMatchObject({ kind: 'notFound' });
        return {};
      },
    });
  });
});

describe('a lease', () => {
  it('keeps the root of a removed image until it is released, against other stores on the same folder too', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const image = await store.install(await layoutWith(path.join(scratch, 'a'), [{ archive: hello }]));
    const one = await store.lease(image.digest);
    const two = await store.lease(image.digest);
    {
      await using other = await ImageStore.open(store.root, own);
      await other.remove([image.digest]);
      await other.prune();
    }
    await one.release();
    await one.release();
    expect(await readFile(path.join(two.rootfs, 'etc/hello'), 'utf8')).toBe('hello\n');
    await expect(store.lease(image.digest)).rejects.toMatchObject({ kind: 'imageNotFound' });
    await two.release();
    await expect(stat(two.rootfs)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('waits for whoever is taking out what it is about to use, and unpacks it anew', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const reference = await layoutWith(path.join(scratch, 'a'), [{ archive: hello }]);
    const { digest } = await store.install(reference);
    const user = await store.lease(digest);
    await store.remove([digest]);
    // Another process has seen that nobody needs it but that user, who has gone; it has the lock, and has not moved it yet.
    const remover = execa('flock', [path.join(store.root, 'lock'), 'sh', '-c', 'echo locked; cat >/dev/null']);
    await new Promise((resolve) => remover.stdout.once('data', resolve));
    await using other = await ImageStore.open(store.root, own);
    const accept = async ({ read }: Candidate) => {
      expect((await read('etc/hello')).toString()).toBe('hello\n');
      return {};
    };
    const installed = other.install(reference, { accept });
    await expect.poll(async () => (await readdir(path.join(store.root, 'leases'))).length).toBeGreaterThan(2);
    await rename(user.rootfs, path.join(scratch, 'taken'));
    remover.stdin.end();
    await remover;
    expect(await installed).toMatchObject({ digest });
    await using lease = await other.lease(digest);
    expect(await readFile(path.join(lease.rootfs, 'etc/hello'), 'utf8')).toBe('hello\n');
    await user.release();
  });

  it('unpacks an image whose root was lost', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const image = await store.install(await layoutWith(path.join(scratch, 'a'), [{ archive: hello }]));
    await rm(path.join(store.root, 'rootfs'), { recursive: true });
    await mkdir(path.join(store.root, 'rootfs'));
    await using lease = await store.lease(image.digest);
    expect(await readFile(path.join(lease.rootfs, 'etc/hello'), 'utf8')).toBe('hello\n');
  });
});

describe('a store', () => {
  it('removes images, all or none', async () => {
    const scratch = await temporaryFolder();
    const store = await openStore(scratch);
    const image = await store.install(await layoutWith(path.join(scratch, 'a'), [{ archive: hello }]));
    await expect(store.remove([image.digest, digest('other')])).rejects.toMatchObject({ kind: 'imageNotFound' });
    expect(await store.list()).toHaveLength(1);
    await store.remove([image.digest]);
    expect(await store.list()).toEqual([]);
    await store[Symbol.asyncDispose]();
    expect(await leftovers(store.root)).toEqual([]);
  });

  it('waits for another process that changes it, for a limited time', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch, { lockTimeoutMs: 100 });
    const holder = execa('flock', [path.join(store.root, 'lock'), 'sh', '-c', 'echo locked; cat >/dev/null']);
    await new Promise((resolve) => holder.stdout.once('data', resolve));
    await expect(store.remove([])).rejects.toMatchObject({
      kind: 'timeout',
      data: { limit: 'lockTimeoutMs', value: 100 },
    });
    holder.stdin.end();
    await holder;
    await store.remove([]);
  });

  it('removes an image whose folders its owner cannot write, as an ordinary user would', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const archive = tar(
      folder('closed', { mode: 0 }),
      file('closed/x', 'x', { mode: 0 }),
      folder('.', { mode: 0o555 }),
    );
    const image = await store.install(await layoutWith(path.join(scratch, 'a'), [{ archive }]));
    await store.remove([image.digest]);
    expect(await leftovers(store.root)).toEqual([`sessions/${(await sessions(store.root))[0] ?? ''}`]);
  });

  it('cancels an installation, and nothing is left', async () => {
    const scratch = await temporaryFolder();
    const store = await openStore(scratch);
    const archive = tar(...Array.from({ length: 2000 }, (_, index) => file(`f${index}`, 'x'.repeat(1000))));
    const reference = await layoutWith(path.join(scratch, 'a'), [{ archive, compression: 'gzip' }]);
    const stop = new AbortController();
    const onProgress = ({ phase }: Progress) => {
      if (phase === 'unpack') stop.abort();
    };
    await expect(store.install(reference, { signal: stop.signal, onProgress })).rejects.toMatchObject({
      name: 'AbortError',
    });
    await store[Symbol.asyncDispose]();
    expect(await leftovers(store.root)).toEqual([]);
  });

  it('says which image it cannot read, and can still remove it', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const image = await store.install(await layoutWith(path.join(scratch, 'a'), [{ archive: hello }], { name: 'a' }));
    const whole = await store.install(
      await layoutWith(path.join(scratch, 'b'), [{ archive: tar(file('x')) }], { name: 'b' }),
    );
    await rm(path.join(store.root, 'blobs/sha256', image.digest.slice(7)));
    await using other = await ImageStore.open(store.root, own);
    await expect(other.list()).rejects.toMatchObject({ kind: 'storageDirty', data: { digest: image.digest } });
    await expect(other.prune()).rejects.toMatchObject({ kind: 'storageDirty' });
    await other.remove([whole.digest]);
    await other.remove([image.digest]);
    expect(await other.list()).toEqual([]);
  });
});

async function sessions(root: string): Promise<string[]> {
  return await readdir(path.join(root, 'sessions'));
}

function gzipCut() {
  const archive = tar(file('x', Buffer.alloc(100_000, 'abc')));
  const whole = gzipSync(archive);
  return { archive, compression: 'gzip' as const, blob: whole.subarray(0, whole.length - 20) };
}
