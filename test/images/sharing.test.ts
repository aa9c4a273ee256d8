// Layers that images share: fetched once, unpacked once, and on disk once.
import { lstat, readFile, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ImageStore } from '../../src/images/index.ts';
import { file, folder, hardlink, symlink, tar } from './support/archives.ts';
import { layoutWith } from './support/layouts.ts';
import { leftovers, openStore, own } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const lower = tar(
  folder('a', { mode: 0o500 }),
  file('a/big', 'x'.repeat(100_000), { mode: 0o640 }),
  hardlink('twin', 'a/big'),
  symlink('s', 'a'),
  file('gone'),
);
const upperOne = tar(file('s/one', '1'), file('.wh.gone'));
const upperTwo = tar(file('a/two', '2'), file('a/big', 'now small'));

async function inode(...names: string[]): Promise<number> {
  return (await lstat(path.join(...names))).ino;
}

describe('images with a layer in common', () => {
  it('have its files once, and differ in what their own layers do to them', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const one = await store.install(
      await layoutWith(path.join(scratch, '1'), [{ archive: lower, compression: 'gzip' }, { archive: upperOne }]),
    );
    // Its blob is another, but what is in it is the same.
    const two = await store.install(
      await layoutWith(path.join(scratch, '2'), [{ archive: lower }, { archive: upperTwo }]),
    );
    const plain = await store.install(await layoutWith(path.join(scratch, '3'), [{ archive: lower }]));
    await using first = await store.lease(one.digest);
    await using second = await store.lease(two.digest);
    await using third = await store.lease(plain.digest);
    expect((await readdir(first.rootfs)).sort()).toEqual(['a', 's', 'twin']);
    expect((await readdir(path.join(first.rootfs, 'a'))).sort()).toEqual(['big', 'one']);
    expect((await readdir(second.rootfs)).sort()).toEqual(['a', 'gone', 's', 'twin']);
    expect(await readFile(path.join(second.rootfs, 'a/big'), 'utf8')).toBe('now small');
    expect(await readFile(path.join(second.rootfs, 'twin'), 'utf8')).toBe('x'.repeat(100_000));
    expect(await readdir(path.join(third.rootfs, 'a'))).toEqual(['big']);
    const shared = await inode(first.rootfs, 'a/big');
    expect(await inode(first.rootfs, 'twin')).toBe(shared);
    expect(await inode(second.rootfs, 'twin')).toBe(shared);
    expect(await inode(third.rootfs, 'a/big')).toBe(shared);
    expect((await lstat(path.join(third.rootfs, 'a/big'))).mode & 0o7777).toBe(0o640);
    expect((await lstat(path.join(third.rootfs, 'a'))).mode & 0o7777).toBe(0o500);
  });

  it('keep it while one of them is there', async () => {
    const scratch = await temporaryFolder();
    const store = await openStore(scratch);
    const one = await store.install(
      await layoutWith(path.join(scratch, '1'), [{ archive: lower }, { archive: upperOne }]),
    );
    const two = await store.install(
      await layoutWith(path.join(scratch, '2'), [{ archive: lower }, { archive: upperTwo }]),
    );
    expect(await readdir(path.join(store.root, 'layers'))).toHaveLength(3);
    await store.remove([one.digest]);
    expect(await readdir(path.join(store.root, 'layers'))).toHaveLength(2);
    {
      await using lease = await store.lease(two.digest);
      expect(await readFile(path.join(lease.rootfs, 'a/two'), 'utf8')).toBe('2');
    }
    await store.remove([two.digest]);
    await store[Symbol.asyncDispose]();
    expect(await leftovers(store.root)).toEqual([]);
    expect(await readdir(path.join(store.root, 'layers'))).toEqual([]);
  });

  it('are unpacked anew where what was kept is lost', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const one = await store.install(await layoutWith(path.join(scratch, '1'), [{ archive: lower }]));
    for (const kept of ['layers', 'rootfs']) {
      for (const name of await readdir(path.join(store.root, kept)))
        await rm(path.join(store.root, kept, name), { recursive: true });
    }
    await using lease = await store.lease(one.digest);
    expect(await readFile(path.join(lease.rootfs, 'twin'), 'utf8')).toBe('x'.repeat(100_000));
  });

  it.runIf(process.getuid?.() === 0)('are unpacked anew for other owners', async () => {
    const scratch = await temporaryFolder();
    const reference = await layoutWith(path.join(scratch, '1'), [{ archive: lower }]);
    {
      await using store = await openStore(scratch);
      await store.install(reference);
    }
    await using mapped = await ImageStore.open(path.join(scratch, 'store'), {
      ...own,
      owners: { kind: 'mapped', base: 700_000, size: 10 },
    });
    const two = await mapped.install(
      await layoutWith(path.join(scratch, '2'), [{ archive: lower }, { archive: upperTwo }]),
    );
    await using lease = await mapped.lease(two.digest);
    expect((await lstat(path.join(lease.rootfs, 'twin'))).uid).toBe(700_000);
  });
});
