// Hostile and odd archives: nothing of them gets out of the image's root, nothing of what is refused stays, and what tools
// really write is read as they mean it.
import { randomBytes } from 'node:crypto';
import { lstat, mkdir, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createGzip, gzipSync, zstdCompressSync } from 'node:zlib';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { execa } from 'execa';
import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ImageLimits, ImageStore, Lease } from '../../src/images/index.ts';
import { encode, file, folder, hardlink, symlink, tar, type Entry } from './support/archives.ts';
import { blockOf } from './support/headers.ts';
import { layoutWith, type Layer } from './support/layouts.ts';
import { filesIn, leftovers, openStore } from './support/stores.ts';
import { isLong } from '../support/storm.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let scratch: string;
/** A folder outside of any store, whose content must never change. */
let outside: string;
let images = 0;

beforeEach(async () => {
  scratch = await temporaryFolder();
  outside = path.join(scratch, 'outside');
  await mkdir(outside);
  await writeFile(path.join(outside, 'file'), 'untouched', { mode: 0o600 });
});

async function install(
  layers: readonly Layer[],
  limits: Partial<ImageLimits> = {},
): Promise<{ store: ImageStore; lease: Lease }> {
  images += 1;
  const store = await openStore(scratch, { limits });
  const image = await store.install(await layoutWith(path.join(scratch, `layout${images}`), layers));
  return { store, lease: await store.lease(image.digest) };
}

/** Unpacks layers and looks at the result. */
async function unpacked(
  layers: readonly (readonly (Entry | Buffer)[])[],
  look: (root: string) => Promise<void>,
): Promise<void> {
  const { store, lease } = await install(layers.map((entries) => ({ archive: tar(...entries) })));
  await look(lease.rootfs);
  await lease.release();
  await store[Symbol.asyncDispose]();
}

async function refused(layers: readonly Layer[], expected: object, limits: Partial<ImageLimits> = {}): Promise<void> {
  images += 1;
  const store = await openStore(scratch, { limits });
  const reference = await layoutWith(path.join(scratch, `layout${images}`), layers);
  await expect(store.install(reference)).rejects.toMatchObject({ kind: 'imageInvalid', ...expected });
  expect(await store.list()).toEqual([]);
  await store[Symbol.asyncDispose]();
  expect(await leftovers(store.root)).toEqual([]);
  expect(await readdir(outside)).toEqual(['file']);
  expect(await readFile(path.join(outside, 'file'), 'utf8')).toBe('untouched');
  expect((await stat(path.join(outside, 'file'))).mode & 0o777).toBe(0o600);
}

const archived = (...entries: (Entry | Buffer)[]): Layer[] => [{ archive: tar(...entries) }];

describe('an entry that wants out', () => {
  it.each<[string, (Entry | Buffer)[]]>([
    ['by its name', [file('../outside/x')]],
    ["by '..' in the middle of its name", [file('a/../../outside/x')]],
    ["by '..' at its end", [folder('a/..')]],
    ['by a hard link to a name outside', [hardlink('x', '../../outside/file')]],
    ['by a hard link to what is not there', [hardlink('x', '/outside/file')]],
    ['by a whiteout of its parent', [file('.wh...')]],
    ['by a whiteout of itself', [file('.wh..')]],
    ['by a whiteout of nothing', [file('.wh.')]],
  ])('%s is refused', async (_how, entries) => {
    await refused([{ archive: tar(file('first')) }, { archive: tar(...entries) }], {});
  });

  it.each<[string, () => (Entry | Buffer)[]]>([
    ['through a symbolic link out', () => [symlink('link', outside), file('link/x'), file('link/file', 'changed')]],
    ['through a relative link out', () => [symlink('link', '../../../../../../../../../outside'), file('link/x')]],
    [
      'through a link that is swapped in',
      () => [folder('a'), file('a/x'), symlink('a', outside), file('a/y'), folder('a/z', { mode: 0o777 })],
    ],
    ['through a link over a link', () => [symlink('a', 'b'), symlink('b', outside), file('a/file', 'changed')]],
    [
      'by a hard link to a symbolic link out',
      () => [symlink('a', path.join(outside, 'file')), hardlink('b', 'a'), file('b', 'changed')],
    ],
    [
      'by a hard link through a link out',
      () => [symlink('a', outside), file('a/file', 'inside'), hardlink('b', 'a/file'), file('b', 'x', { mode: 0o777 })],
    ],
    ['by changing the mode of a link', () => [symlink('a', path.join(outside, 'file')), folder('a', { mode: 0o777 })]],
    ['by a whiteout through a link out', () => [symlink('a', outside), file('a/.wh.file'), file('a/.wh..wh..opq')]],
    ['by an absolute name', () => [file(path.join(outside, 'file'), 'changed'), file('/etc/x')]],
  ])('%s stays inside', async (_how, entries) => {
    await unpacked([[file('lower')], entries()], async (root) => {
      expect(await readdir(outside)).toEqual(['file']);
      expect(await readFile(path.join(outside, 'file'), 'utf8')).toBe('untouched');
      expect((await stat(path.join(outside, 'file'))).mode & 0o777).toBe(0o600);
      expect((await stat(outside)).mode & 0o777).toBe(0o755);
      expect(await readFile(path.join(root, 'lower'), 'utf8')).toBe('');
    });
  });

  it('finds its own target inside where a link leads out', async () => {
    await unpacked(
      [[symlink('link', '/a/b'), file('link/x', '1'), symlink('up', '../../..'), file('up/y', '2')]],
      async (root) => {
        expect(await filesIn(root)).toEqual(['a', 'a/b', 'a/b/x', 'link', 'up', 'y']);
        expect(await readlink(path.join(root, 'link'))).toBe('/a/b');
      },
    );
  });
});

describe('an archive that is wrong', () => {
  const base256 = (first: number, rest: number) => Buffer.from([first, ...Array<number>(11).fill(rest)]);
  it.each<[string, Layer[], object]>([
    ['a wrong checksum', archived(file('a'), blockOf({ name: 'x', wrongBy: 1 })), { data: { offset: 512 } }],
    ['a negative size', archived(blockOf({ name: 'x', sizeField: base256(0xff, 0xff) })), {}],
    ['a size beyond all bounds', archived(blockOf({ name: 'x', sizeField: base256(0x80, 0xff) })), {}],
    ['a size that is no number', archived(blockOf({ name: 'x', sizeField: Buffer.from('12x45678901\0') })), {}],
    ['a size that is longer than the archive', [{ archive: blockOf({ name: 'x', size: 100_000 }) }], {}],
    ['an entry of an unknown type', archived({ name: 'x', type: 'Q' }), {}],
    ['an entry without a name', archived({ name: '' }), {}],
    ['a loop of links on the way', archived(symlink('a', 'b'), symlink('b', 'a'), file('a/x')), {}],
    ['a hard link to a folder', archived(folder('a'), hardlink('b', 'a')), {}],
    ['a hard link to its own folder, which was a file', archived(file('a'), hardlink('a/x', 'a')), {}],
    ['a hard link to something below a file', archived(file('a'), hardlink('b', 'a/x')), {}],
    ['a folder of the V7 form that has content', archived(file('d/', 'content', { type: '\0' }), file('after')), {}],
    ['a root that is a file with a slash', archived(file('./', 'content')), {}],
    ['a symbolic link to nothing', archived(symlink('a', '')), {}],
    ['a root that is a file', archived(file('.')), {}],
    ['text instead of an archive', [{ archive: Buffer.from('hello\n'.repeat(1000)) }], {}],
    [
      'an extended header with a wrong length',
      archived(encode({ name: 'p', type: 'x', content: '99 path=a\n' }), file('a')),
      {},
    ],
    [
      'an extended header that is never followed',
      [{ archive: encode({ name: 'p', type: 'x', content: '10 path=a\n' }) }],
      {},
    ],
    ['an entry after the first block of zeros', archived(Buffer.alloc(512), file('a')), {}],
    [
      'a sparse file whose segments overlap',
      archived(
        file('a', 'xxxx', { pax: { 'GNU.sparse.major': '0', 'GNU.sparse.size': '9', 'GNU.sparse.map': '0,2,1,2' } }),
      ),
      {},
    ],
    [
      'a sparse file whose segments go beyond it',
      archived(file('a', 'xxxx', { pax: { 'GNU.sparse.size': '5', 'GNU.sparse.map': '2,4' } })),
      {},
    ],
    [
      'gzip that is cut off',
      [
        {
          archive: tar(file('a')),
          compression: 'gzip',
          blob: gzipSync(tar(file('a', 'x'.repeat(9000)))).subarray(0, 90),
        },
      ],
      {},
    ],
    [
      'gzip that is damaged',
      [{ archive: tar(file('a')), compression: 'gzip', blob: damaged(gzipSync(tar(file('a', 'x'.repeat(9000))))) }],
      {},
    ],
    [
      'gzip with garbage after it',
      [
        {
          archive: tar(file('a')),
          compression: 'gzip',
          blob: Buffer.concat([gzipSync(tar(file('a'))), Buffer.alloc(700_000, 'garbage')]),
        },
      ],
      {},
    ],
    [
      'zstd with garbage after it',
      [
        {
          archive: tar(file('a')),
          compression: 'zstd',
          blob: Buffer.concat([zstdCompressSync(tar(file('a'))), Buffer.alloc(700, 'garbage')]),
        },
      ],
      {},
    ],
    [
      'zstd that is cut off',
      [{ archive: tar(file('a')), compression: 'zstd', blob: zstdCompressSync(tar(file('a'))).subarray(0, 30) }],
      {},
    ],
  ])('is refused for %s', async (_what, layers, expected) => {
    await refused(layers, expected);
  });

  it.each<[string, Layer]>([
    ['its end', { archive: Buffer.concat([tar(file('a')), Buffer.alloc(700, 'garbage')]), compression: 'gzip' }],
    [
      'its compression, if it is zeros (records of a tape)',
      {
        archive: tar(file('a')),
        compression: 'gzip',
        blob: Buffer.concat([gzipSync(tar(file('a'))), Buffer.alloc(700_000)]),
      },
    ],
  ])('may have garbage after %s, as its digest covers that too', async (_what, layer) => {
    const { store, lease } = await install([layer]);
    expect(await readdir(lease.rootfs)).toEqual(['a']);
    await store[Symbol.asyncDispose]();
  });
});

describe('a limit', () => {
  it.each<[keyof ImageLimits, number, Layer[]]>([
    ['entries', 10, archived(...Array.from({ length: 11 }, (_, index) => file(`f${index}`)))],
    ['unpackedBytes', 1000, archived(file('a', 'x'.repeat(600)), file('b', 'x'.repeat(600)))],
    [
      'unpackedBytes',
      1000,
      archived(file('a', 'xxxx', { pax: { 'GNU.sparse.size': '1000000000000', 'GNU.sparse.map': '0,4' } })),
    ],
    ['layers', 1, [{ archive: tar(file('a')) }, { archive: tar(file('b')) }]],
    ['compressedBytes', 1000, archived(file('a', 'x'.repeat(1000)))],
    ['configBytes', 10, archived(file('a'))],
    ['manifestBytes', 10, archived(file('a'))],
  ])('on %s holds', async (limit, value, layers) => {
    await refused(layers, { data: { limit, value } }, { [limit]: value });
  });

  it('on names and extended headers holds', async () => {
    await refused(archived(file('x', '', { pax: { path: `${'d/'.repeat(5000)}x` } })), {});
    await refused(archived(file('x', '', { pax: { path: 'x'.repeat(10_000) } })), {});
    await refused(archived(file('x', '', { pax: { path: 'x'.repeat(256) } })), {});
    await refused(archived(encode({ name: 'L', type: 'L', size: 2 ** 33 - 1, content: 'x' })), {});
    await refused(archived(file('x', '', { pax: { comment: 'x'.repeat(2_000_000) } })), {});
  });

  it('on depth holds where links lead deeper than names can say', async () => {
    const deep = `${'d'.repeat(250)}/`.repeat(7);
    const entries: Entry[] = [];
    for (let index = 0; index < 4; index += 1) {
      entries.push(file(`l${index}/${deep}x`, '', { pax: { path: `${index === 0 ? '' : `l${index - 1}/`}${deep}x` } }));
      entries.push({
        ...symlink(`l${index}`, 'x'),
        pax: { linkpath: `${index === 0 ? '' : `l${index - 1}/`}${deep}` },
      });
    }
    await refused(archived(...entries), {});
  });

  it('on the ratio stops a bomb of gzip or zstd early', async () => {
    const zeros = function* () {
      yield blockOf({ name: 'zeros', size: 2 ** 30 });
      for (let index = 0; index < 1024; index += 1) yield Buffer.alloc(2 ** 20);
    };
    const bomb = await buffer(Readable.from(zeros()).pipe(createGzip({ level: 9 })));
    expect(bomb.length).toBeLessThan(1_100_000);
    const started = performance.now();
    await refused([{ archive: tar(), compression: 'gzip', blob: bomb }], { data: { limit: 'ratio', value: 200 } });
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

describe('a bomb is refused by the bounds that hold unless others are given', () => {
  it.runIf(isLong)('of ten million entries', async () => {
    // Whiteouts in a lowest layer, which leave nothing on disk; their names differ, so that the ratio is an ordinary one.
    const member = gzipSync(
      Buffer.concat(Array.from({ length: 10_000 }, () => blockOf({ name: `.wh.${randomBytes(24).toString('hex')}` }))),
    );
    const blob = Buffer.concat(Array<Buffer>(1000).fill(member));
    await refused([{ archive: tar(), compression: 'gzip', blob }], { data: { limit: 'entries', value: 2_000_000 } });
  });

  it('of one file that is 100 GB long and hardly takes a block', async () => {
    const layer = archived(
      file('a', 'xxxx', { pax: { 'GNU.sparse.size': '100000000000', 'GNU.sparse.map': '99999999996,4' } }),
    );
    await refused(layer, { data: { limit: 'unpackedBytes', value: 32 * 1024 ** 3 } });
  });

  it('of 100 GB of zeros in one million bytes for each third of it', async () => {
    // Zstandard repeats a byte 131072 times in four bytes (RFC 8878, 3.1.1.2, RLE_Block), which no gzip comes near.
    const blockBytes = 2 ** 17;
    const repeated = Buffer.concat([littleEndian((1 << 1) | (blockBytes << 3)), Buffer.alloc(1)]);
    const zeros = Buffer.concat(Array<Buffer>(2 ** 32 / blockBytes).fill(repeated));
    const files = Array.from({ length: 24 }, (_, index) =>
      Buffer.concat([littleEndian(512 << 3), blockOf({ name: `zeros${index}`, size: 2 ** 32 }), zeros]),
    );
    // A frame that names nothing but its window, and an empty last block.
    const blob = Buffer.concat([Buffer.from('28b52ffd0038', 'hex'), ...files, littleEndian(1)]);
    expect(blob.length).toBeLessThan(3_200_000);
    await refused([{ archive: tar(), compression: 'zstd', blob }], { data: { limit: 'ratio', value: 200 } });
  });
});

describe('what tools write', () => {
  it('is read as they mean it: whiteouts hide lower layers and nothing of their own', async () => {
    await unpacked(
      [
        [
          file('a/one'),
          file('a/two'),
          file('b/one'),
          file('b/deep/two'),
          file('c/one'),
          file('d'),
          folder('e'),
          file('e/x'),
        ],
        [
          file('a/.wh.one'),
          file('b/new'),
          file('b/.wh..wh..opq'),
          file('c/one', 'new'),
          file('c/.wh.one'),
          file('.wh.d'),
          file('.wh.nothing'),
          file('.wh..wh.plnk'),
          file('e', 'file now'),
        ],
      ],
      async (root) => {
        expect(await filesIn(root)).toEqual(['a', 'a/two', 'b', 'b/new', 'c', 'c/one', 'e']);
        expect(await readFile(path.join(root, 'e'), 'utf8')).toBe('file now');
      },
    );
  });

  it('a whiteout of a folder spares what its own layer put below', async () => {
    await unpacked(
      [
        [file('a/b/old'), file('a/old')],
        [file('a/b/new'), file('.wh.a')],
      ],
      async (root) => {
        expect(await filesIn(root)).toEqual(['a', 'a/b', 'a/b/new']);
      },
    );
  });

  it('later entries replace earlier ones, folders excepted', async () => {
    await unpacked(
      [
        [
          file('a', '1'),
          file('a', '22'),
          folder('d', { mode: 0o700 }),
          file('d/x'),
          folder('d', { mode: 0o711, mtime: 5 }),
          symlink('s', 'd'),
          folder('s'),
        ],
      ],
      async (root) => {
        expect(await readFile(path.join(root, 'a'), 'utf8')).toBe('22');
        const found = await lstat(path.join(root, 'd'));
        expect([found.mode & 0o7777, found.mtimeMs]).toEqual([0o711, 5000]);
        expect(await readdir(path.join(root, 'd'))).toEqual(['x']);
        expect((await lstat(path.join(root, 's'))).isDirectory()).toBe(true);
      },
    );
  });

  it('a file that a later entry lies below gives way to a folder, as in umoci since 0.5', async () => {
    const later = [
      file('one/x', '1'),
      symlink('link', 'two'),
      file('link/deep/x', '2'),
      symlink('up', 'three/../beside'),
      file('up/x', '3'),
      file('three/.wh.x'),
      file('three/.wh..wh..opq'),
      file('four', 'f'),
      file('four/x', '4'),
    ];
    await unpacked([[file('one'), file('two'), file('three', 'kept'), file('four')], later], async (root) => {
      expect(await filesIn(root)).toEqual([
        ...['beside', 'beside/x', 'four', 'four/x', 'link', 'one', 'one/x'],
        ...['three', 'two', 'two/deep', 'two/deep/x', 'up'],
      ]);
      expect(await readlink(path.join(root, 'link'))).toBe('two');
      expect(await readFile(path.join(root, 'three'), 'utf8')).toBe('kept');
      expect(await readFile(path.join(root, 'two/deep/x'), 'utf8')).toBe('2');
      expect((await stat(path.join(root, 'one'))).mode & 0o7777).toBe(0o755);
    });
  });

  it('a file that gives way to a folder stays where it has other names, outside of the root too', async () => {
    const entries = [file('a', 'kept'), hardlink('b', 'a'), file('a/x'), symlink('out', outside), file('out/file/x')];
    await unpacked([entries], async (root) => {
      expect(await readFile(path.join(root, 'b'), 'utf8')).toBe('kept');
      expect((await lstat(path.join(root, 'a'))).isDirectory()).toBe(true);
      expect((await lstat(path.join(root, outside, 'file'))).isDirectory()).toBe(true);
      expect(await readFile(path.join(outside, 'file'), 'utf8')).toBe('untouched');
    });
  });

  it('a slash at the end of a name makes a folder in the V7 form only, and content is not taken for headers', async () => {
    const v7 = file('v7/', '', { type: '\0' });
    const files = [file('file/', 'content'), file('empty/'), file('seven/', 'x'.repeat(600), { type: '7' })];
    await unpacked([[v7, ...files, folder('sized/', { size: 512 }), file('after', 'a')]], async (root) => {
      expect(await filesIn(root)).toEqual(['after', 'empty', 'file', 'seven', 'sized', 'v7']);
      expect(await readFile(path.join(root, 'file'), 'utf8')).toBe('content');
      expect((await stat(path.join(root, 'empty'))).isFile()).toBe(true);
      expect((await stat(path.join(root, 'seven'))).size).toBe(600);
      for (const name of ['v7', 'sized']) expect((await stat(path.join(root, name))).isDirectory()).toBe(true);
      expect(await readFile(path.join(root, 'after'), 'utf8')).toBe('a');
    });
  });

  it('hard links are one file, also over layers and to links', async () => {
    await unpacked(
      [
        [file('a', 'x'), symlink('s', 'a'), hardlink('t', 's')],
        [hardlink('b', './a'), hardlink('c/d', '/b'), hardlink('a', 'a')],
      ],
      async (root) => {
        const inodes = await Promise.all(
          ['a', 'b', 'c/d'].map(async (name) => (await lstat(path.join(root, name))).ino),
        );
        expect(new Set(inodes).size).toBe(1);
        expect(await readlink(path.join(root, 't'))).toBe('a');
      },
    );
  });

  it('long names, names that are not UTF-8 and names that begin with dots', async () => {
    const long = `${'n'.repeat(200)}/${'m'.repeat(200)}`;
    const gnu = Buffer.concat([
      encode({ name: '././@LongLink', type: 'L', content: `g${long}\0` }),
      encode(file('short', 'g')),
    ]);
    const gnuLink = Buffer.concat([
      encode({ name: '././@LongLink', type: 'K', content: `${long}\0` }),
      encode(symlink('k', 'short')),
    ]);
    await unpacked(
      [
        [
          file('x', 'p', { pax: { path: long } }),
          gnu,
          gnuLink,
          file('name', 'u', { prefix: 'pre/fix' }),
          file('caf\xe9', 'l'),
          file('..x/...', 'd'),
        ],
      ],
      async (root) => {
        expect(await readFile(path.join(root, long), 'utf8')).toBe('p');
        expect(await readFile(path.join(root, `g${long}`), 'utf8')).toBe('g');
        expect(await readlink(path.join(root, 'k'))).toBe(long);
        expect(await readFile(path.join(root, 'pre/fix/name'), 'utf8')).toBe('u');
        expect(await readFile(Buffer.concat([Buffer.from(`${root}/`), Buffer.from('caf\xe9', 'latin1')]), 'utf8')).toBe(
          'l',
        );
        expect(await readFile(path.join(root, '..x/...'), 'utf8')).toBe('d');
      },
    );
  });

  it('sparse files in all of their forms', async () => {
    const octal = (value: number) => `${value.toString(8).padStart(11, '0')}\0`;
    const old = (pairs: number[][], real: number, extended = false) => {
      const fields = Buffer.alloc(126);
      pairs.forEach(([offset, length], index) =>
        fields.write(octal(offset ?? 0) + octal(length ?? 0), index * 24, 'latin1'),
      );
      fields[96] = extended ? 1 : 0;
      fields.write(octal(real), 97, 'latin1');
      return fields;
    };
    const more = Buffer.alloc(512);
    more.write(octal(4000) + octal(2), 0, 'latin1');
    const content = Buffer.concat([Buffer.from('AABB'), Buffer.alloc(508)]);
    const entries = [
      Buffer.concat([
        blockOf({
          name: 'old',
          type: 'S',
          size: 4,
          gnu: old(
            [
              [0, 2],
              [3000, 2],
            ],
            5000,
          ),
        }),
        content,
      ]),
      Buffer.concat([blockOf({ name: 'extended', type: 'S', size: 4, gnu: old([[0, 2]], 5000, true) }), more, content]),
      file('GNUSparseFile.0/p00', 'AABB', {
        pax: { 'GNU.sparse.size': '5000', 'GNU.sparse.map': '0,2,3000,2', 'GNU.sparse.name': 'p01' },
      }),
      file('p10', Buffer.concat([Buffer.from('2\n0\n2\n3000\n2\n'.padEnd(512, '\0')), Buffer.from('AABB')]), {
        pax: {
          'GNU.sparse.major': '1',
          'GNU.sparse.minor': '0',
          'GNU.sparse.name': 'p10',
          'GNU.sparse.realsize': '5000',
        },
      }),
      file('after', 'x'),
    ];
    const whole = (at: number) => {
      const bytes = Buffer.alloc(5000);
      bytes.write('AA', 0);
      bytes.write('BB', at);
      return bytes;
    };
    await unpacked([entries], async (root) => {
      for (const [name, at] of [
        ['old', 3000],
        ['extended', 4000],
        ['p01', 3000],
        ['p10', 3000],
      ] as const) {
        expect((await readFile(path.join(root, name))).equals(whole(at)), name).toBe(true);
      }
      expect(await readFile(path.join(root, 'after'), 'utf8')).toBe('x');
    });
  });

  it('set-id bits are dropped; devices and FIFOs are left out, and hide what was there', async () => {
    await unpacked(
      [
        [file('suid', '', { mode: 0o6755 }), folder('sticky', { mode: 0o3777 }), file('was')],
        [
          { name: 'null', type: '3' },
          { name: 'disk', type: '4' },
          { name: 'was', type: '6' },
        ],
      ],
      async (root) => {
        expect(await filesIn(root)).toEqual(['sticky', 'suid']);
        expect((await stat(path.join(root, 'suid'))).mode & 0o7777).toBe(0o755);
        expect((await stat(path.join(root, 'sticky'))).mode & 0o7777).toBe(0o1777);
      },
    );
  });

  it('extended attributes are left out, with a note of which', async () => {
    const lines: Record<string, unknown>[] = [];
    const stream = { write: (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>) };
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch, { logger: pino({ level: 'info' }, stream) });
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex').toString('latin1');
    const one = { 'SCHILY.xattr.security.capability': capability, 'SCHILY.xattr.user.note': 'n' };
    const many = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`SCHILY.xattr.user.${index}`, 'x']));
    const image = await store.install(
      await layoutWith(path.join(scratch, 'layout'), [
        { archive: tar(file('a', 'a', { pax: one }), folder('d', { pax: { 'SCHILY.xattr.user.note': 'n' } })) },
        { archive: tar(file('b', 'b', { pax: many })) },
      ]),
    );
    const [note] = lines.filter(({ msg }) => msg === 'extended attributes of the image were left out');
    expect(note?.['attributes']).toMatchObject({ 'security.capability': 1, 'user.note': 2, others: 6 });
    await using lease = await store.lease(image.digest);
    const list = 'import os, sys; print([os.listxattr(name) for name in sys.argv[1:]])';
    const names = ['a', 'b', 'd'].map((name) => path.join(lease.rootfs, name));
    expect((await execa('python3', ['-c', list, ...names])).stdout).toBe('[[], [], []]');
  });

  it('layers in which whole archives come in many members or frames', async () => {
    const archive = tar(file('a', 'x'.repeat(5000)), file('b', 'y'.repeat(5000)));
    const halves = [archive.subarray(0, 3000), archive.subarray(3000)];
    for (const [compression, blob] of [
      ['gzip', Buffer.concat(halves.map((half) => gzipSync(half)))],
      [
        'zstd',
        Buffer.concat([
          Buffer.from([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]),
          ...halves.map((half) => zstdCompressSync(half)),
        ]),
      ],
    ] as const) {
      const { store, lease } = await install([{ archive, compression, blob }]);
      expect(await readFile(path.join(lease.rootfs, 'b'), 'utf8')).toBe('y'.repeat(5000));
      await store[Symbol.asyncDispose]();
    }
  });

  it.runIf(process.getuid?.() === 0)('owners are mapped to the ids of the container, and must fit', async () => {
    const store = await openStore(scratch, { owners: { kind: 'mapped', base: 700_000, size: 1000 } });
    const archive = tar(
      folder('d', { uid: 1, gid: 2 }),
      file('d/f', '', { uid: 999, gid: 0 }),
      { ...symlink('l', 'd'), uid: 5 },
      file('implied/x'),
    );
    const image = await store.install(await layoutWith(path.join(scratch, 'fits'), [{ archive }]));
    await using lease = await store.lease(image.digest);
    const owner = async (name: string) => {
      const { uid, gid } = await lstat(path.join(lease.rootfs, name));
      return [uid - 700_000, gid - 700_000];
    };
    expect([await owner('.'), await owner('d'), await owner('d/f'), await owner('l'), await owner('implied')]).toEqual([
      [0, 0],
      [1, 2],
      [999, 0],
      [5, 0],
      [0, 0],
    ]);
    const beyond = await layoutWith(path.join(scratch, 'beyond'), [{ archive: tar(file('f', '', { uid: 1000 })) }]);
    await expect(store.install(beyond)).rejects.toMatchObject({ kind: 'imageInvalid', data: { entry: 'f' } });
    await lease.release();
    await store[Symbol.asyncDispose]();
  });
});

/** The header of a Zstandard block: three bytes, the lowest first. */
function littleEndian(value: number): Buffer {
  const bytes = Buffer.alloc(3);
  bytes.writeUIntLE(value, 0, 3);
  return bytes;
}

function damaged(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy.fill(0xff, 20, 40);
  return copy;
}
