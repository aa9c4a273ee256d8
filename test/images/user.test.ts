// As an ordinary user, on a full disk, and for other ids than before.
import { execFileSync } from 'node:child_process';
import { chown, lstat, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { ImageStore } from '../../src/images/index.ts';
import { bootstrapPath } from '../../src/base/native.ts';
import { file, folder, tar } from './support/archives.ts';
import { layoutWith } from './support/layouts.ts';
import { leftovers, openStore, own } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const isRoot = process.getuid?.() === 0;
const nobody = 65_534;

/** What a program prints that an ordinary user runs. */
async function asNobody(program: string, ...args: string[]): Promise<string> {
  const ids = ['--reuid', String(nobody), '--regid', String(nobody), '--clear-groups'];
  return (await execa('setpriv', [...ids, process.execPath, program, ...args])).stdout;
}

describe.runIf(isRoot)('an ordinary user', () => {
  it('removes trees with closed folders', async () => {
    const scratch = await temporaryFolder();
    await chown(scratch, nobody, nobody);
    const program = path.join(scratch, 'program.mts');
    const removal = fileURLToPath(new URL('../../src/base/remove-tree.ts', import.meta.url));
    await writeFile(
      program,
      `import { chmod, mkdir } from 'node:fs/promises';
import { removeTree } from ${JSON.stringify(removal)};
const tree = process.argv[2];
await mkdir(tree + '/closed/inner', { recursive: true });
await chmod(tree + '/closed', 0);
console.log(JSON.stringify(await removeTree(tree)));
`,
    );
    expect(await asNobody(program, path.join(scratch, 'tree'))).toBe('undefined');
    expect(await readdir(scratch)).toEqual(['program.mts']);
  });

  it('installs, uses and removes images, whatever modes are in them', async () => {
    const scratch = await temporaryFolder();
    const lower = tar(
      folder('.', { mode: 0o555, uid: 7 }),
      folder('closed', { mode: 0, uid: 1, gid: 2 }),
      file('closed/x', 'x', { mode: 0, uid: 5 }),
      folder('read-only', { mode: 0o555 }),
      file('read-only/y', 'y', { mode: 0o444 }),
    );
    const upper = tar(file('read-only/z', 'z'), file('closed/.wh.x'));
    const { path: layout } = await layoutWith(
      path.join(scratch, 'layout'),
      [{ archive: lower, compression: 'gzip' }, { archive: upper }],
      { name: 'x' },
    );
    const root = path.join(scratch, 'store');
    await mkdir(root);
    await chown(root, nobody, nobody);
    const program = path.join(scratch, 'program.mts');
    const images = fileURLToPath(new URL('../../src/images/index.ts', import.meta.url));
    await writeFile(
      program,
      `import { ImageStore, parseReference } from ${JSON.stringify(images)};
import { readFile, readdir } from 'node:fs/promises';
await using store = await ImageStore.open(process.argv[2]);
const image = await store.install(parseReference(process.argv[3]));
const lease = await store.lease(image.digest);
console.log(await readFile(lease.rootfs + '/read-only/y', 'utf8'), (await readdir(lease.rootfs + '/read-only')).join());
await lease.release();
await store.remove([image.digest]);
`,
    );
    const stdout = await asNobody(program, root, `oci:${layout}:x`);
    expect(stdout).toBe('y y,z');
    expect(await leftovers(root)).toEqual([]);
    expect(await readdir(path.join(root, 'rootfs'))).toEqual([]);
  });
});

describe.runIf(isRoot)('a full disk', () => {
  it('is storageFull, and leaves the store as it was', async () => {
    const scratch = await temporaryFolder();
    const root = path.join(scratch, 'store');
    await mkdir(root);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m,nr_inodes=400', 'tmpfs', root]);
    onTestFinished(() => {
      execFileSync('umount', [root]);
    });
    {
      await using store = await ImageStore.open(root, own);
      const small = await store.install(
        await layoutWith(path.join(scratch, 'small'), [{ archive: tar(file('a', 'a')) }]),
      );
      const large = tar(file('large', Buffer.alloc(6_000_000, 'x')));
      const many = tar(...Array.from({ length: 500 }, (_, index) => file(`f${index}`)));
      const layers = {
        blobs: [{ archive: large }],
        files: [{ archive: large, compression: 'gzip' as const }],
        inodes: [{ archive: many, compression: 'gzip' as const }],
      };
      for (const [name, image] of Object.entries(layers)) {
        const reference = await layoutWith(path.join(scratch, name), image);
        await expect(store.install(reference)).rejects.toMatchObject({
          kind: 'storageFull',
          data: { path: root, code: 'ENOSPC' },
        });
        expect(await store.list()).toEqual([small]);
      }
    }
    expect(await leftovers(root)).toEqual([]);
  });
});

describe('a disk that fails at the end, when all is written', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it.each(['ENOSPC', 'EIO'])('with %s is storageFull, and leaves the store as it was', async (code) => {
    const scratch = await temporaryFolder();
    const bootstrap = path.join(scratch, 'bootstrap');
    const traced = `strace -f -o /dev/null -e inject=syncfs:error=${code} ${bootstrapPath()} "$@"`;
    await writeFile(bootstrap, `#!/bin/sh\nexec ${traced}\n`, { mode: 0o755 });
    const reference = await layoutWith(path.join(scratch, 'image'), [{ archive: tar(file('a', 'a')) }]);
    vi.stubEnv('BABELHOST_BOOTSTRAP', bootstrap);
    // It syncs with the process that its session is held by.
    const failing = await openStore(scratch);
    await expect(failing.install(reference)).rejects.toMatchObject({
      kind: 'storageFull',
      data: { code },
      message: expect.stringMatching(code === 'EIO' ? /dmesg/ : /image prune/) as unknown,
    });
    expect(await failing.list()).toEqual([]);
    await failing[Symbol.asyncDispose]();
    vi.unstubAllEnvs();
    const store = await openStore(scratch);
    expect(await store.list()).toEqual([]);
    await store.install(reference);
    expect(await store.list()).toHaveLength(1);
    await store[Symbol.asyncDispose]();
    expect(await leftovers(store.root)).toEqual([]);
  });
});

it.each(['ENOSPC', 'EIO'])('a disk that fails with %s while layers are fetched is storageFull', async (code) => {
  const scratch = await temporaryFolder();
  const { path: layout } = await layoutWith(path.join(scratch, 'image'), [{ archive: tar(file('a', 'a')) }]);
  const program = path.join(scratch, 'program.mts');
  const images = fileURLToPath(new URL('../../src/images/index.ts', import.meta.url));
  await writeFile(
    program,
    `import { ImageStore, parseReference } from ${JSON.stringify(images)};
await using store = await ImageStore.open(process.argv[2], { owners: { kind: 'single' } });
await store.install(parseReference(process.argv[3])).catch((error) => console.log(error.kind, error.data?.code));
console.log((await store.list()).length);
`,
  );
  const root = path.join(scratch, 'store');
  const inject = ['-f', '-qq', '-o', '/dev/null', '-e', `inject=fdatasync:error=${code}`];
  const { stdout } = await execa('strace', [...inject, process.execPath, program, root, `oci:${layout}`], {
    timeout: 60_000,
  });
  expect(stdout.split('\n')).toEqual([`storageFull ${code}`, '0']);
  expect(await leftovers(root)).toEqual([]);
});

describe.runIf(isRoot)('a store that is opened for other ids', () => {
  it('unpacks its images anew, unless they are in use', async () => {
    const scratch = await temporaryFolder();
    await using before = await openStore(scratch, { owners: { kind: 'mapped', base: 700_000, size: 100 } });
    const image = await before.install(await layoutWith(path.join(scratch, 'a'), [{ archive: tar(file('a', 'a')) }]));
    const lease = await before.lease(image.digest);
    await using after = await openStore(scratch, { owners: { kind: 'mapped', base: 800_000, size: 100 } });
    await expect(after.lease(image.digest)).rejects.toMatchObject({ kind: 'storageDirty', data: { owner: 700_000 } });
    await lease.release();
    await using other = await after.lease(image.digest);
    expect((await lstat(path.join(other.rootfs, 'a'))).uid).toBe(800_000);
    expect(await readFile(path.join(other.rootfs, 'a'), 'utf8')).toBe('a');
  });
});
