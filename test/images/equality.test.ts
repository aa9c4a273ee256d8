// Unpacking compared with umoci's, entry by entry, over images that umoci and buildah made.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, link, lstat, mkdir, readFile, readlink, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseReference } from '../../src/images/index.ts';
import { file, folder, hardlink, symlink as symlinkEntry, tar, type Entry } from './support/archives.ts';
import { layoutWith } from './support/layouts.ts';
import { openStore } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const isRoot = process.getuid?.() === 0;
const base = 700_000;

/** What can be seen of each entry of a tree; owners relative to the map's base, set-id bits left out as we drop them. */
async function listing(root: string, ownerBase: number): Promise<string[]> {
  const names = execFileSync('find', ['.', '-print0'], { cwd: root, encoding: 'latin1' })
    .split('\0')
    .slice(0, -1)
    .sort();
  const inodes = new Map<number, string>();
  const lines: string[] = [];
  for (const name of names) {
    const full = Buffer.concat([Buffer.from(`${root}/`), Buffer.from(name, 'latin1')]);
    const found = await lstat(full);
    const owner = isRoot ? `${found.uid - ownerBase}:${found.gid - ownerBase}` : '';
    const what = found.isSymbolicLink()
      ? `-> ${await readlink(full, 'latin1')}`
      : found.isDirectory()
        ? `d ${(found.mode & 0o1777).toString(8)}`
        : `${(found.mode & 0o1777).toString(8)} ${found.size} ${createHash('md5')
            .update(await readFile(full))
            .digest('hex')}`;
    const first = found.isDirectory() ? undefined : inodes.get(found.ino);
    inodes.set(found.ino, first ?? name);
    // To the second, which is what Node can set. umoci leaves folders in which it changes something at the present time.
    const time = found.isDirectory() ? '' : Math.floor(found.mtimeMs / 1000);
    lines.push(`${name} ${what} ${owner} ${time} ${first === undefined ? '' : `= ${first}`}`);
  }
  return lines;
}

/** Installs the image and unpacks it with umoci, and expects the same. */
async function compare(scratch: string, layout: string, name: string): Promise<string[]> {
  const owners = isRoot ? ({ kind: 'mapped', base, size: 65_536 } as const) : ({ kind: 'single' } as const);
  await using store = await openStore(scratch, { owners });
  const image = await store.install(parseReference(`oci:${layout}:${name}`));
  await using lease = await store.lease(image.digest);
  const bundle = path.join(scratch, 'bundle');
  const map = isRoot ? ['--uid-map', `0:${base}:65536`, '--gid-map', `0:${base}:65536`] : ['--rootless'];
  execFileSync('umoci', ['unpack', ...map, '--image', `${layout}:${name}`, bundle], { stdio: 'pipe' });
  const ours = await listing(lease.rootfs, base);
  expect(ours).toEqual(await listing(path.join(bundle, 'rootfs'), base));
  return ours;
}

const implied = (...names: string[]) => names.map((name) => folder(name));

describe('an image that is unpacked', () => {
  it.each<[string, Entry[][]]>([
    ['of one layer', [[folder('a', { mode: 0o711 }), file('a/f', 'x', { mode: 0o604, uid: 3, gid: 4 })]]],
    [
      'that replaces files and folders',
      [
        [...implied('a', 'b'), file('a/f', '1'), file('b/g', '2'), file('c')],
        [file('a', 'now a file'), folder('c'), file('c/x'), file('b/g', '3', { mode: 0o600 })],
      ],
    ],
    [
      'with whiteouts',
      [
        [...implied('a', 'a/b', 'c'), file('a/b/x'), file('a/y'), file('c/z'), file('d')],
        [...implied('a'), file('a/.wh.b'), file('.wh.d'), ...implied('c'), file('c/.wh..wh..opq'), file('c/new')],
      ],
    ],
    [
      'with whiteouts after what they spare',
      [
        [...implied('a', 'a/b'), file('a/b/x'), file('a/y')],
        [...implied('a', 'a/b'), file('a/b/n'), file('.wh.a'), file('a/.wh..wh..opq')],
      ],
    ],
    [
      'with links',
      [
        [
          file('f', 'x'),
          hardlink('h', 'f'),
          symlinkEntry('s', 'f'),
          symlinkEntry('dangling', '/no/where'),
          hardlink('hs', 's'),
        ],
        [hardlink('h2', 'h'), file('f', 'y')],
      ],
    ],
    [
      'with entries below links to folders',
      [
        [
          ...implied('real'),
          symlinkEntry('lnk', 'real'),
          symlinkEntry('abs', '/real'),
          symlinkEntry('out', '../../real'),
        ],
        [
          file('lnk/a', '1'),
          file('abs/b', '2'),
          file('out/c', '3'),
          symlinkEntry('real/up', '..'),
          file('real/up/top', '4'),
        ],
      ],
    ],
    [
      'with a folder over a link',
      [
        [...implied('real'), file('real/x'), symlinkEntry('lnk', 'real')],
        [folder('lnk', { mode: 0o700 }), file('lnk/y')],
      ],
    ],
    [
      'with long names',
      [
        [
          file('n', 'x', { pax: { path: `${'l'.repeat(150)}/${'m'.repeat(150)}` } }),
          folder('l', { pax: { path: 'l'.repeat(150) } }),
        ],
      ],
    ],
    ['with names that are not UTF-8', [[file('caf\xe9', 'x'), symlinkEntry('s', '\xff\xfe')]]],
    [
      'with absolute and dotted names',
      [[...implied('./d'), file('/abs', 'x'), file('./d/./e//f', 'y'), folder('d/e')]],
    ],
    [
      'with odd modes',
      [
        [
          folder('d', { mode: 0o1777 }),
          file('x', '', { mode: 0 }),
          file('y', '', { mode: 0o111 }),
          folder('z', { mode: 0o500 }),
          file('z/in'),
        ],
      ],
    ],
    [
      'with entries that come twice',
      [
        [
          file('f', '1'),
          file('f', '22', { mode: 0o600 }),
          folder('d'),
          folder('d', { mode: 0o700 }),
          symlinkEntry('f', 'd'),
        ],
      ],
    ],
  ])('%s is as umoci unpacks it', async (_what, layers) => {
    const scratch = await temporaryFolder();
    const layout = path.join(scratch, 'layout');
    await layoutWith(
      layout,
      layers.map((entries, index) => ({ archive: tar(...entries), compression: index % 2 === 0 ? 'gzip' : 'none' })),
      { name: 'x' },
    );
    expect((await compare(scratch, layout, 'x')).length).toBeGreaterThan(1);
  });

  it('after umoci made it of a tree, and changed it', async () => {
    const scratch = await temporaryFolder();
    const layout = path.join(scratch, 'layout');
    const umoci = (...args: string[]) => execFileSync('umoci', args, { stdio: 'pipe' });
    const rootless = isRoot ? [] : ['--rootless'];
    umoci('init', '--layout', layout);
    umoci('new', '--image', `${layout}:x`);
    const bundle = path.join(scratch, 'work');
    umoci('unpack', ...rootless, '--image', `${layout}:x`, bundle);
    const at = (name: string) => path.join(bundle, 'rootfs', name);
    await mkdir(at('etc/deep/er'), { recursive: true });
    await writeFile(at('etc/one'), 'one');
    await link(at('etc/one'), at('etc/two'));
    await symlink('one', at('etc/three'));
    await writeFile(at('etc/deep/er/x'), Buffer.alloc(300_000, 'abc'));
    await writeFile(at('hole'), 'x');
    await truncate(at('hole'), 10_000_000);
    await chmod(at('etc/deep'), 0o750);
    await utimes(at('etc/one'), 1e9, 1e9);
    umoci('repack', '--image', `${layout}:x`, bundle);
    execFileSync('rm', ['-r', at('etc/deep/er'), at('etc/three')]);
    await writeFile(at('etc/deep/new'), 'new');
    umoci('repack', '--image', `${layout}:y`, bundle);
    const entries = await compare(scratch, layout, 'y');
    expect(entries.some((line) => line.startsWith('./etc/deep/new'))).toBe(true);
    expect(entries.some((line) => line.includes('etc/deep/er'))).toBe(false);
  });
});
