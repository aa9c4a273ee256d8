// What another user of the machine can do with a store: read it where it is open to everyone, and nothing where it is its
// owner's alone.
import { chmod, chown, lstat, mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import type { StoreAccess, StoredImage } from '../../src/images/index.ts';
import { file, tar } from './support/archives.ts';
import { layoutWith } from './support/layouts.ts';
import { openStore } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const isRoot = process.getuid?.() === 0;

let scratch: string;
let root: string;
let image: StoredImage;

beforeEach(async () => {
  scratch = await temporaryFolder();
  // The way to the root is open.
  await chmod(scratch, 0o755);
  root = path.join(scratch, 'store');
});

/** Opens the store, and lets it go again. */
async function reopen(access?: StoreAccess): Promise<void> {
  await using store = await openStore(scratch, access === undefined ? {} : { access });
  expect(store.root).toBe(root);
}

/** Installs an image, as one program does. */
async function use(access?: StoreAccess): Promise<void> {
  await using store = await openStore(scratch, access === undefined ? {} : { access });
  const layout = await layoutWith(path.join(scratch, 'layout'), [{ archive: tar(file('a', 'text')) }], { name: 'x' });
  image = await store.install(layout);
}

async function modeOf(name = ''): Promise<string> {
  return ((await lstat(path.join(root, name))).mode & 0o777).toString(8);
}

/** What each thing that another user tries comes to: what the program wrote, or why it failed. */
async function attempts(): Promise<Record<string, string>> {
  const rootfs = path.join(root, 'rootfs', image.digest.slice(7));
  const tried: Record<string, readonly [string, ...string[]]> = {
    'read the index': ['cat', path.join(root, 'index.json')],
    'list the root': ['ls', root],
    'list an unpacked image': ['ls', rootfs],
    'read a file of it': ['cat', path.join(rootfs, 'a')],
    'lock a file of it': ['flock', '--nonblock', path.join(rootfs, 'a'), 'echo', 'locked'],
    'lock an unpacked image': ['flock', '--nonblock', rootfs, 'echo', 'locked'],
    'lock the store': ['flock', '--nonblock', path.join(root, 'lock'), 'echo', 'locked'],
    'read the image with skopeo': ['skopeo', 'inspect', '--config', `oci:${root}:x`],
  };
  const results: Record<string, string> = {};
  for (const [what, command] of Object.entries(tried)) {
    const user = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
    const { failed, stdout, stderr } = await execa('setpriv', [...user, ...command], { reject: false, cwd: '/' });
    results[what] = failed ? (/permission denied/i.exec(stderr)?.[0].toLowerCase() ?? stderr) : stdout.slice(0, 20);
  }
  return results;
}

const nothing = {
  'read the index': 'permission denied',
  'list the root': 'permission denied',
  'list an unpacked image': 'permission denied',
  'read a file of it': 'permission denied',
  'lock a file of it': 'permission denied',
  'lock an unpacked image': 'permission denied',
  'lock the store': 'permission denied',
  'read the image with skopeo': 'permission denied',
};
const reading = {
  ...nothing,
  'read the index': expect.stringContaining('schemaVersion') as string,
  'list an unpacked image': 'a',
  'read a file of it': 'text',
  'lock a file of it': 'locked',
  'lock an unpacked image': 'locked',
  'read the image with skopeo': expect.stringContaining('{') as string,
};

describe.runIf(isRoot)('another user', () => {
  it('may read a store that is open to everyone, and nothing of one that is its owner’s', async () => {
    await use('everyone');
    expect(await attempts()).toEqual(reading);
    await reopen();
    expect(await attempts()).toEqual(nothing);
    await use();
    expect(await attempts()).toEqual(nothing);
    await reopen('everyone');
    expect(await attempts()).toEqual(reading);
  });

  it('is shut out of a store of an earlier version when it is next opened', async () => {
    await use('everyone');
    // As a host made its root, and the files beside the images.
    await chmod(root, 0o755);
    await writeFile(path.join(root, 'drivers.json'), '{}', { mode: 0o644 });
    expect(await attempts()).toEqual({ ...reading, 'list the root': expect.stringContaining('blobs') as string });
    await reopen();
    expect(await attempts()).toEqual(nothing);
    expect(await modeOf()).toBe('700');
    expect(await modeOf('drivers.json')).toBe('600');
  });

  it.each([[[]], [['notes.txt']]])(
    'is shut out of what is made in a folder that was there, with %j in it',
    async (names) => {
      await mkdir(root, { mode: 0o755 });
      for (const name of names) await writeFile(path.join(root, name), 'mine', { mode: 0o644 });
      for (let turn = 0; turn < 2; turn += 1) {
        await use();
        expect(await modeOf()).toBe('755');
        expect(await attempts()).toEqual({ ...nothing, 'list the root': expect.stringContaining('blobs') as string });
        for (const name of await readdir(root)) {
          if (!names.includes(name)) expect(await modeOf(name)).toMatch(/^[67]00$/);
        }
      }
    },
  );

  it('keeps a folder that has more than the store in it as open as it was', async () => {
    await use('everyone');
    await chmod(root, 0o755);
    await writeFile(path.join(root, 'notes.txt'), 'mine', { mode: 0o644 });
    await reopen();
    expect(await modeOf()).toBe('755');
    expect(await modeOf('notes.txt')).toBe('644');
    expect(await attempts()).toEqual({ ...nothing, 'list the root': expect.stringContaining('blobs') as string });
  });

  it('whose store it is keeps the modes that it gave', async () => {
    await use('everyone');
    for (const name of ['', ...(await readdir(root))]) await chown(path.join(root, name), 65_534, 65_534);
    await reopen();
    expect(await modeOf()).toBe('711');
    expect(await modeOf('index.json')).toBe('644');
  });
});

it('a new root is closed, and the folders above it are as they usually are', async () => {
  root = path.join(scratch, 'above', 'store');
  await using store = await openStore(path.dirname(root));
  expect(store.root).toBe(root);
  expect(await modeOf()).toBe('700');
  await mkdir(path.join(scratch, 'usual'));
  expect(await modeOf('..')).toBe(await modeOf('../../usual'));
});
