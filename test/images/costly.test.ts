// Archives that weigh little and cost much: memory, disk, inodes, processor time and the event loop. What they may cost is
// bounded, and whoever else the process serves is served meanwhile.
import { execFileSync } from 'node:child_process';
import { lstat, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { zstdCompressSync } from 'node:zlib';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ImageLimits } from '../../src/images/index.ts';
import { encode, file, folder, hardlink, symlink, tar, type Entry } from './support/archives.ts';
import { layoutWith, type Layer } from './support/layouts.ts';
import { leftovers, openStore } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let scratch: string;
beforeEach(async () => {
  scratch = await temporaryFolder();
});

const archived = (...entries: (Entry | Buffer)[]): Layer[] => [{ archive: tar(...entries) }];

/** An entry, or a link, whose name may be longer than a header holds. */
const named = (name: string, entry: Entry = file('x')): Entry => ({ ...entry, pax: { path: name } });
const linked = (name: string, link: string): Entry => ({ ...symlink(name, ''), pax: { linkpath: link } });

async function refused(layers: readonly Layer[], limits: Partial<ImageLimits>, expected: object): Promise<void> {
  const store = await openStore(scratch, { limits });
  const reference = await layoutWith(path.join(scratch, 'layout'), layers);
  await expect(store.install(reference)).rejects.toMatchObject({ kind: 'imageInvalid', ...expected });
  await store[Symbol.asyncDispose]();
  expect(await leftovers(store.root)).toEqual([]);
}

describe('a bound holds', () => {
  const deep = 'd/'.repeat(900);
  const thousand = archived(...Array.from({ length: 10 }, (_, index) => named(`${index}/${deep}x`)));
  // Each a name of three bytes that comes to a path of two thousand.
  const far = archived(
    named(`${'d'.repeat(200)}/`.repeat(10), folder('d')),
    linked('l', `${'d'.repeat(200)}/`.repeat(10)),
    ...Array.from({ length: 50 }, (_, index) => file(`l/${index}`)),
  );
  const attributes = (count: number) => '21 SCHILY.xattr.a=xy\n'.repeat(count);
  it.each<[string, Layer[], Partial<ImageLimits>, object]>([
    ['on entries, for folders that only names tell of', thousand, { entries: 5000 }, { data: { limit: 'entries' } }],
    ['on names, for what links make of them', far, { nameBytes: 50_000 }, { data: { limit: 'nameBytes' } }],
    [
      'on names, for those of extended attributes',
      archived(encode({ name: 'p', type: 'x', content: attributes(2000) }), file('a')),
      { nameBytes: 1000 },
      { data: { limit: 'nameBytes' } },
    ],
    [
      'on extended headers, for all of an entry together',
      archived(
        ...Array.from({ length: 11 }, () => encode({ name: 'p', type: 'x', content: attributes(500) })),
        file('a'),
      ),
      { extendedHeaderBytes: 110_000 },
      { message: expect.stringContaining("'extendedHeaderBytes'") as string },
    ],
    [
      "on extended headers, for GNU's long names without end",
      archived(...Array.from({ length: 300 }, () => encode({ name: 'L', type: 'L', content: 'x'.repeat(4000) }))),
      {},
      { message: expect.stringContaining("'extendedHeaderBytes'") as string },
    ],
    [
      'on frames of Zstandard',
      [
        {
          archive: tar(file('a')),
          compression: 'zstd',
          blob: Buffer.concat([...Array<Buffer>(50).fill(zstdCompressSync('')), zstdCompressSync(tar(file('a')))]),
        },
      ],
      { entries: 50 },
      { data: { limit: 'entries', value: 50 } },
    ],
    [
      'on the names on the way to an entry',
      archived(named(`${'d/'.repeat(1025)}x`)),
      {},
      { message: expect.stringContaining('1024 names') as string },
    ],
    [
      'on the names on the way to an entry, for those of links',
      archived(
        folder('d'),
        ...Array.from({ length: 3 }, (_, index) =>
          linked(`l${index}`, `${'d/../'.repeat(200)}${index === 0 ? 'd' : `l${index - 1}`}`),
        ),
        file('l2/x'),
      ),
      {},
      { message: expect.stringContaining('1024 names') as string },
    ],
  ])('%s', async (_what, layers, limits, expected) => {
    await refused(layers, limits, expected);
  });
});

it('copies of what has too many hard links count as what they take', async () => {
  // Each link after the first fails as it does where a file system has no room for another (65,000 on ext4).
  const { path: layout } = await layoutWith(
    path.join(scratch, 'layout'),
    archived(file('a', 'x'.repeat(6000), { mode: 0o640 }), hardlink('b', 'a')),
  );
  const program = path.join(scratch, 'program.mts');
  const images = fileURLToPath(new URL('../../src/images/index.ts', import.meta.url));
  await writeFile(
    program,
    `import { ImageStore, parseReference } from ${JSON.stringify(images)};
const [root, unpackedBytes] = process.argv.slice(2);
await using store = await ImageStore.open(root, { owners: { kind: 'single' }, limits: { unpackedBytes: Number(unpackedBytes) } });
try {
  const image = await store.install(parseReference(${JSON.stringify(`oci:${layout}`)}));
  await using lease = await store.lease(image.digest);
  console.log(lease.rootfs);
} catch (error) {
  console.log(error.data?.limit ?? error);
}
`,
  );
  // strace counts for each thread. On the main one, the first link is the file's, from where its layer is kept, and the
  // second the archive's own.
  const inject = ['-f', '-qq', '-o', '/dev/null', '-e', 'inject=?link,linkat:error=EMLINK:when=2'];
  const run = (store: string, bytes: number) =>
    execFileSync('strace', [...inject, process.execPath, program, path.join(scratch, store), String(bytes)], {
      encoding: 'utf8',
      timeout: 60_000,
    }).trim();
  const rootfs = run('roomy', 12_000);
  expect(await readFile(path.join(rootfs, 'b'), 'utf8')).toBe('x'.repeat(6000));
  const [a, b] = [await lstat(path.join(rootfs, 'a')), await lstat(path.join(rootfs, 'b'))];
  expect(a.ino).not.toBe(b.ino);
  expect(b.mode).toBe(a.mode);
  expect(run('tight', 11_999)).toBe('unpackedBytes');
});

it('a map of a sparse file is not kept once the file is there', async () => {
  const segments = Array.from({ length: 20_000 }, (_, index) => `${index},0`).join();
  const sparse = { 'GNU.sparse.size': '20000', 'GNU.sparse.map': segments };
  await using store = await openStore(scratch);
  const reference = await layoutWith(path.join(scratch, 'layout'), archived(file('a', '', { pax: sparse })));
  const image = await store.install(reference);
  const layers = path.join(store.root, 'layers');
  const [layer = ''] = await readdir(layers);
  expect((await stat(path.join(layers, layer, 'entries'))).size).toBeLessThan(1000);
  await using lease = await store.lease(image.digest);
  expect((await stat(path.join(lease.rootfs, 'a'))).size).toBe(20_000);
});

describe('others are served', () => {
  /** How often a timer came while the image was installed. */
  async function ticksDuring(layers: readonly Layer[]): Promise<number> {
    await using store = await openStore(scratch);
    const reference = await layoutWith(path.join(scratch, 'layout'), layers);
    let ticks = 0;
    const timer = setInterval(() => {
      ticks += 1;
    }, 1);
    try {
      await store.install(reference);
    } finally {
      clearInterval(timer);
    }
    return ticks;
  }

  it('while entries of a few bytes make work of a millisecond each', async () => {
    const links = Array.from({ length: 100 }, (_, index) => linked(`l${index}`, `${'d/../'.repeat(490)}d`));
    const plain = await ticksDuring(
      archived(folder('d'), ...Array.from({ length: 100 }, (_, index) => file(`${index}`))),
    );
    // More links than are remembered as open, in turns.
    const entries = Array.from({ length: 400 }, (_, index) => file(`l${index % 100}/x`));
    const costly = await ticksDuring(archived(folder('d'), ...links, ...entries));
    expect(costly).toBeGreaterThan(plain + 10);
  });
});

it('what an image removes again is away at once, however much it is', async () => {
  const deep = 'd/'.repeat(1000);
  const store = await openStore(scratch);
  const reference = await layoutWith(path.join(scratch, 'layout'), [
    {
      archive: tar(
        named(`gone/${deep}x`),
        named(`kept/${deep}x`),
        ...Array.from({ length: 2000 }, (_, index) => file(`emptied/${index}`)),
        folder('replaced/below'),
      ),
    },
    {
      archive: tar(
        file('.wh.gone'),
        folder('emptied', { mode: 0o711 }),
        file('emptied/.wh..wh..opq'),
        file('kept/d/.wh..wh..opq'),
        file('replaced', 'a file'),
      ),
    },
  ]);
  const image = await store.install(reference);
  const lease = await store.lease(image.digest);
  expect((await readdir(lease.rootfs)).sort()).toEqual(['emptied', 'kept', 'replaced']);
  expect(await readdir(path.join(lease.rootfs, 'emptied'))).toEqual([]);
  expect((await stat(path.join(lease.rootfs, 'emptied'))).mode & 0o7777).toBe(0o711);
  expect(await readdir(path.join(lease.rootfs, 'kept'))).toEqual(['d']);
  expect(await readdir(path.join(lease.rootfs, 'kept/d'))).toEqual([]);
  expect((await stat(path.join(lease.rootfs, 'kept/d'))).mode & 0o7777).toBe(0o755);
  await lease.release();
  await store[Symbol.asyncDispose]();
  expect(await leftovers(store.root)).toEqual([]);
});

describe('names', () => {
  it('that differ in their case or in how an accent is written are different names', async () => {
    await using store = await openStore(scratch);
    const image = await store.install(
      await layoutWith(
        path.join(scratch, 'layout'),
        archived(
          file('caf\xc3\xa9', 'one character'),
          file('cafe\xcc\x81', 'two'),
          symlink('DIR', '/outside'),
          file('dir/x', 'inside'),
        ),
      ),
    );
    await using lease = await store.lease(image.digest);
    expect((await readdir(lease.rootfs)).sort()).toEqual(['DIR', 'cafe\u0301', 'caf\u00e9', 'dir']);
    expect(await readFile(path.join(lease.rootfs, 'dir/x'), 'utf8')).toBe('inside');
  });

  it('of whiteouts are nothing that could be linked to', async () => {
    const layers = [{ archive: tar(file('a')) }, { archive: tar(file('.wh.a'), hardlink('b', '.wh.a')) }];
    await refused(layers, {}, { data: { entry: 'b' } });
  });

  it('in global headers are passed over', async () => {
    const global = encode({ name: 'g', type: 'g', content: '12 path=aaa\n' });
    await using store = await openStore(scratch);
    const layers = archived(...Array<Buffer>(100).fill(global), file('a'), ...Array<Buffer>(100).fill(global));
    const image = await store.install(await layoutWith(path.join(scratch, 'layout'), layers));
    await using lease = await store.lease(image.digest);
    expect(await readdir(lease.rootfs)).toEqual(['a']);
  });
});
