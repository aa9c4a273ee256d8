// What is left in a store that no program can remove by paths, or that nobody can remove: the store opens all the same,
// and removes what can be.
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { makeDeep } from '../support/deep-folders.ts';
import { makeImmutable } from '../support/immutable.ts';
import { isRoot } from '../support/privileges.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { file, folder, tar } from './support/archives.ts';
import { layoutWith } from './support/layouts.ts';
import { leftovers, openStore } from './support/stores.ts';

/** A store with an image, and what a dead process had in work there. */
async function storeWithLeftover() {
  const scratch = await temporaryFolder();
  await using store = await openStore(scratch);
  const image = await store.install(await layoutWith(path.join(scratch, 'layout'), [{ archive: tar(file('a', 'a')) }]));
  const left = path.join(store.root, 'tmp', 'dead.1');
  await mkdir(left);
  return { scratch, root: store.root, image, left };
}

describe('a store', () => {
  it('removes what is left in it, however deep, wide, closed or named that is', async () => {
    const { scratch, root, image, left } = await storeWithLeftover();
    makeDeep(path.join(left, 'deep'), 10_000);
    await expect(rm(left, { recursive: true })).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
    await mkdir(path.join(left, 'wide'));
    execFileSync('sh', ['-c', 'cd "$1"/wide && seq 1 100000 | xargs touch', 'sh', left]);
    const bytes = Buffer.from([0xff, 0x0a, 0x80]);
    await mkdir(Buffer.concat([Buffer.from(`${left}/`), bytes]));
    await mkdir(path.join(left, 'closed', 'inner'), { recursive: true });
    for (const closed of ['closed/inner', 'closed']) await chmod(path.join(left, closed), 0);
    {
      await using store = await openStore(scratch);
      expect(store.unremoved).toEqual([]);
      expect(await store.list()).toEqual([image]);
    }
    expect(await leftovers(root)).toEqual([]);
  });

  it.runIf(isRoot)(
    'opens with something in it that nobody can remove, tells of it, and tries again',
    async (context) => {
      const { scratch, root, image, left } = await storeWithLeftover();
      const kept = path.join(left, 'a', 'kept');
      await mkdir(path.dirname(kept));
      for (const name of [kept, path.join(left, 'a', 'gone')]) await writeFile(name, '');
      const refused = makeImmutable(kept);
      if (refused !== undefined) context.skip(refused);
      onTestFinished(() => {
        execFileSync('chattr', ['-R', '-f', '-i', root]);
      });
      await expect(rm(left, { recursive: true })).rejects.toThrow(/kept/);
      for (let time = 0; time < 2; time += 1) {
        await using store = await openStore(scratch);
        expect(store.unremoved).toEqual([
          { path: left, reasons: [expect.stringMatching(/^cannot remove a\/kept \(EPERM\): /) as string] },
        ]);
        expect(await store.list()).toEqual([image]);
        const next = await layoutWith(path.join(scratch, `next-${time}`), [{ archive: tar(file('b', String(time))) }]);
        await store.remove([(await store.install(next)).digest]);
      }
      expect(await readdir(left, { recursive: true })).toEqual(['a', 'a/kept']);
      execFileSync('chattr', ['-i', kept]);
      {
        await using store = await openStore(scratch);
        expect(store.unremoved).toEqual([]);
      }
      expect(await leftovers(root)).toEqual([]);
    },
  );

  it.runIf(isRoot)(
    'takes out an image of which a file cannot be removed, and every later store tells of that',
    async (context) => {
      const { scratch, root, image } = await storeWithLeftover();
      await using store = await openStore(scratch);
      const archive = tar(folder('d'), file('d/kept', 'x'), file('d/gone', 'x'));
      const other = await store.install(await layoutWith(path.join(scratch, 'other'), [{ archive }]));
      {
        await using lease = await store.lease(other.digest);
        const refused = makeImmutable(path.join(lease.rootfs, 'd', 'kept'));
        if (refused !== undefined) context.skip(refused);
        onTestFinished(() => {
          execFileSync('chattr', ['-R', '-f', '-i', root]);
        });
      }
      await store.remove([other.digest]);
      expect(await store.list()).toEqual([image]);
      const [name = '', ...others] = await readdir(path.join(root, 'tmp'));
      expect(others).toEqual([]);
      const left = path.join(root, 'tmp', name);
      // Its root has a hard link to the layer's file.
      const reason = expect.stringMatching(/^cannot remove \d+\/\w+ \(EPERM\): /) as string;
      expect(store.unremoved).toEqual([{ path: left, reasons: [reason, reason] }]);
      {
        // While the store that took it out is still open.
        await using second = await openStore(scratch);
        expect(second.unremoved).toEqual(store.unremoved);
      }
      execFileSync('chattr', ['-R', '-i', left]);
      await using third = await openStore(scratch);
      expect(third.unremoved).toEqual([]);
      expect(await readdir(path.join(root, 'tmp'))).toEqual([]);
    },
  );
});
