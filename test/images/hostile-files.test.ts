// Files that are no files: what is read of an unpacked image, of an image layout that a stranger made, and of programs that
// go into an image. Nothing waits for a FIFO's writer, reads a device without end, or follows a link out.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { LibraryFinder, MissingLibraryError } from '../../src/images/build/libraries.ts';
import { readElf } from '../../src/images/build/elf.ts';
import { parseReference } from '../../src/images/index.ts';
import { readInside, statInside } from '../../src/images/unpack/read-inside.ts';
import { readRegularFile } from '../../src/base/regular-file.ts';
import { isRoot } from '../support/privileges.ts';
import { ordinaryId } from '../support/ordinary-user.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { file, tar } from './support/archives.ts';
import { layoutWith } from './support/layouts.ts';
import { leftovers, openStore } from './support/stores.ts';

let scratch: string;
beforeEach(async () => {
  scratch = await temporaryFolder();
});

/** What may lie where a file should, with no root needed for it. */
const noFiles: Record<string, (file: string) => Promise<unknown>> = {
  'a FIFO': (at) => Promise.resolve(execFileSync('mkfifo', [at])),
  'a socket': async (at) => {
    // Where the name is short enough for it. Closing removes what has the first name.
    const server = createServer().listen(path.join(scratch, 's'));
    await once(server, 'listening');
    await rename(path.join(scratch, 's'), at);
    server.close();
  },
  'a folder': (at) => mkdir(at),
  ...(isRoot && { 'a device': (at: string) => Promise.resolve(execFileSync('mknod', [at, 'c', '1', '5'])) }),
};
const linksToNone: typeof noFiles = {
  'a link to a device without end': (at) => symlink('/dev/zero', at),
  'a link to a folder': (at) => symlink('/', at),
};

describe('a file of an unpacked image', () => {
  let root: string;
  let at: string;
  beforeEach(async () => {
    root = path.join(scratch, 'root');
    at = path.join(root, 'sub/file');
    await mkdir(path.dirname(at), { recursive: true });
    await writeFile(path.join(scratch, 'secret'), 'secret');
  });

  it.each(Object.entries(noFiles))('is refused where it is %s', async (_what, make) => {
    await make(at);
    const refusal = expect.objectContaining({
      kind: 'imageInvalid',
      message: expect.stringMatching(/should be a file/) as string,
    }) as Error;
    expect(() => readInside(root, '/sub/file', 100)).toThrow(refusal);
    expect(() => statInside(root, '/sub/file')).toThrow(refusal);
  });

  it('is not there where a link leads out of the root', async () => {
    for (const target of ['/dev/zero', '/etc/passwd', `${scratch}/secret`, '../../secret', `${'../'.repeat(20)}etc`]) {
      await symlink(target, at);
      expect(() => readInside(root, '/sub/file', 100)).toThrow(expect.objectContaining({ kind: 'notFound' }) as Error);
      await rm(at);
    }
  });

  it('is read no further than it may be', async () => {
    await writeFile(at, 'x');
    await truncate(at, 2 ** 40);
    expect(() => readInside(root, '/sub/file', 100)).toThrow(/it has 1099511627776 bytes, more than 100/);
    expect(statInside(root, '/sub/file').size).toBe(2 ** 40);
  });

  it('that may not be read says so, and can be looked at', async () => {
    await writeFile(at, 'x');
    await chmod(at, 0);
    // Root may read everything: for as long as this takes, the tests are somebody else.
    if (isRoot) process.seteuid?.(ordinaryId);
    try {
      expect(() => readInside(root, '/sub/file', 100)).toThrow(/may not be read/);
      expect(statInside(root, '/sub/file')).toEqual({ size: 1, executable: false });
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });
});

describe('a file', () => {
  it('is read to its end or one byte over the limit, whatever size it is said to have', async () => {
    const name = path.join(scratch, 'file');
    for (const length of [0, 1, 99, 100]) {
      await writeFile(name, 'x'.repeat(length));
      expect(await readRegularFile(name, 100)).toHaveLength(length);
    }
    await writeFile(name, 'x'.repeat(101));
    expect(await readRegularFile(name, 100)).toHaveLength(101);
    await truncate(name, 2 ** 40);
    expect(await readRegularFile(name, 100)).toHaveLength(101);
    // The kernel says that they have no bytes.
    expect((await readRegularFile('/proc/self/status', 1 << 20)).toString()).toContain('Name:');
    expect(await readRegularFile('/proc/self/status', 10)).toHaveLength(11);
  });

  it('that grows while it is read is read no further than it may be', async () => {
    const name = path.join(scratch, 'file');
    await writeFile(name, 'x');
    const reading = Array.from({ length: 50 }, async () => {
      await appendFile(name, 'y'.repeat(1000));
      return await readRegularFile(name, 20_000);
    });
    for (const bytes of await Promise.all(reading)) expect(bytes.length).toBeLessThanOrEqual(20_001);
  });
});

/** The file of an image's manifest, or of its only layer. */
function blobOf(layout: string, which: 'manifest' | 'layer'): string {
  const read = (name: string) => JSON.parse(readFileSync(path.join(layout, name), 'utf8')) as Record<string, unknown>;
  const blob = (list: unknown) => `blobs/sha256/${(list as { digest: string }[])[0]?.digest.slice(7) ?? ''}`;
  const manifest = blob(read('index.json')['manifests']);
  return path.join(layout, which === 'manifest' ? manifest : blob(read(manifest)['layers']));
}

describe('an image layout', () => {
  /** Puts something in the place of one of its files, and pulls it. */
  async function pull(name: (layout: string) => string, make: (file: string) => Promise<unknown>): Promise<void> {
    const store = await openStore(scratch, {});
    const layout = path.join(scratch, 'layout');
    const reference = await layoutWith(layout, [{ archive: tar(file('a', 'a')) }]);
    await rm(name(layout));
    await make(name(layout));
    await expect(store.install(reference)).rejects.toMatchObject({
      kind: 'imageInvalid',
      message: expect.stringMatching(/is a folder, FIFO, socket or device, and is not read/) as string,
      data: { path: name(layout) },
    });
    await store[Symbol.asyncDispose]();
    expect(await leftovers(store.root)).toEqual([]);
  }

  it.each(Object.entries({ ...noFiles, ...linksToNone }))('is refused with %s in it', async (_what, make) => {
    await pull((layout) => path.join(layout, 'oci-layout'), make);
    await rm(path.join(scratch, 'layout'), { recursive: true });
    await pull((layout) => path.join(layout, 'index.json'), make);
    await rm(path.join(scratch, 'layout'), { recursive: true });
    // Documents are read whole, layers in pieces.
    for (const which of ['manifest', 'layer'] as const) {
      await pull((layout) => blobOf(layout, which), make);
      await rm(path.join(scratch, 'layout'), { recursive: true });
    }
  });

  it.each(Object.entries({ ...noFiles, ...linksToNone }))('is not written to with %s in it', async (_what, make) => {
    const store = await openStore(scratch, {});
    const recipe = path.join(scratch, 'recipe');
    await mkdir(recipe);
    await writeFile(path.join(recipe, 'image.toml'), 'directories = ["/tmp"]\n[[layer]]\n');
    for (const name of ['oci-layout', 'index.json']) {
      const layout = path.join(scratch, name);
      await mkdir(layout);
      await make(path.join(layout, name));
      await expect(store.build(recipe, { output: parseReference(`oci:${layout}:x`) })).rejects.toMatchObject({
        kind: 'imageInvalid',
        data: { path: path.join(layout, name) },
      });
    }
    await store[Symbol.asyncDispose]();
  });

  it.each(Object.entries({ ...noFiles, ...linksToNone }))('is no archive where that is %s', async (_what, make) => {
    const store = await openStore(scratch, {});
    const archive = path.join(scratch, 'archive');
    await make(archive);
    for (const transport of ['oci-archive', 'docker-archive']) {
      await expect(store.install(parseReference(`${transport}:${archive}`))).rejects.toMatchObject({
        kind: 'imageInvalid',
        data: { path: archive },
      });
    }
    await store[Symbol.asyncDispose]();
  });
});

describe('a program of this machine that goes into an image', () => {
  /** The head of a program for this machine, with these segments: [type, content]. All of the file is loaded at address 0. */
  function elf(...segments: readonly (readonly [type: number, content: Buffer])[]): Buffer {
    const header = Buffer.from(readFileSync(process.execPath).subarray(0, 64));
    const count = segments.length + 1;
    header.writeBigUInt64LE(64n, 32);
    header.writeUInt16LE(56, 54);
    header.writeUInt16LE(count, 56);
    let end = 64 + 56 * count;
    const table = [...segments, [1, Buffer.alloc(0)] as const].map(([type, content], index) => {
      const entry = Buffer.alloc(56);
      const whole = index === segments.length;
      entry.writeUInt32LE(type, 0);
      entry.writeBigUInt64LE(BigInt(whole ? 0 : end), 8);
      entry.writeBigUInt64LE(BigInt(whole ? 0 : end), 16);
      end += content.length;
      entry.writeBigUInt64LE(BigInt(whole ? end : content.length), 32);
      return entry;
    });
    return Buffer.concat([header, ...table, ...segments.map(([, content]) => content)]);
  }

  /** A dynamic section that needs one library so many times, whose names lie in `strings`, the segment before it. */
  function dynamic(times: number, strings: Buffer, at: number): Buffer {
    const entries = [...Array.from({ length: times }, () => [1, 0]), [5, at], [10, strings.length], [0, 0]];
    const bytes = Buffer.alloc(16 * entries.length);
    entries.forEach(([tag = 0, value = 0], index) => {
      bytes.writeBigUInt64LE(BigInt(tag), 16 * index);
      bytes.writeBigUInt64LE(BigInt(value), 16 * index + 8);
    });
    return bytes;
  }

  const program = async (bytes: Buffer): Promise<string> => {
    const name = path.join(scratch, 'program');
    await writeFile(name, bytes);
    return name;
  };
  const withStrings = (times: number, strings: Buffer) =>
    // Three segments: the strings begin after the header and their table.
    elf([0, strings], [2, dynamic(times, strings, 64 + 3 * 56)]);

  it('takes no file of this machine along as its loader that is none', async () => {
    const secret = path.join(scratch, 'secret');
    await writeFile(secret, 'secret', { mode: 0o600 });
    const fifo = path.join(scratch, 'fifo');
    execFileSync('mkfifo', [fifo]);
    for (const loader of [secret, fifo, '/dev/zero', '/etc', '/nowhere']) {
      const name = await program(elf([3, Buffer.from(`${loader}\0`)]));
      expect(await readElf(name)).toMatchObject({ interpreter: loader });
      await expect(new LibraryFinder().librariesOf({ to: '/program', source: name })).rejects.toThrow(
        MissingLibraryError,
      );
    }
  });

  it('is read with its libraries, but not where it needs them without end, or their names have none', async () => {
    expect(await readElf(await program(withStrings(3, Buffer.from('libx.so\0'))))).toMatchObject({
      needed: ['libx.so', 'libx.so', 'libx.so'],
    });
    expect(await readElf(await program(withStrings(1_000_000, Buffer.from('libx.so\0'))))).toMatchObject({
      needed: [],
    });
    expect(await readElf(await program(withStrings(4000, Buffer.alloc(8 * 1024 ** 2, 'x'))))).toBeUndefined();
  });

  it.each(Object.entries({ ...noFiles, ...linksToNone }))('is refused where it is %s', async (_what, make) => {
    const name = path.join(scratch, 'program');
    await make(name);
    await expect(readElf(name)).rejects.toMatchObject({ kind: 'imageInvalid', data: { path: name } });
  });
});
