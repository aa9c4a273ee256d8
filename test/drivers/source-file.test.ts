// How the files of sources are read: at once where that is quick, by Node's threads else, and with the same outcome.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileRoom } from '../../src/drivers/file-room.ts';
import { isLocal, SourceFiles } from '../../src/drivers/source-file.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-source-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const anySize = (): void => undefined;
const alone = new FileRoom().lease({ deadline: Infinity, timeoutMs: 0 }, undefined);

/** One that reads at once where it can, and one that has found that to be slow. */
function both(): { atOnce: SourceFiles; byThreads: SourceFiles } {
  const byThreads = new SourceFiles();
  Object.defineProperty(byThreads, 'atOnce', { value: false });
  return { atOnce: new SourceFiles(), byThreads };
}

describe('the file of a source', () => {
  it.each([0, 1, 70_000, 1024 * 1024, 1024 * 1024 + 1])('of %i bytes is read whole', async (size) => {
    const file = path.join(folder, 'x.js');
    const content = Buffer.alloc(size, 'line of code\n');
    await writeFile(file, content);
    for (const files of Object.values(both())) {
      const sizes: number[] = [];
      const read = await files.read(file, 'file:x', (bytes) => sizes.push(bytes), alone);
      expect(read.equals(content)).toBe(true);
      // Whoever reads it a second way looks at it a second time.
      expect(new Set(sizes)).toEqual(new Set([size]));
    }
  });

  it('may be a link', async () => {
    await writeFile(path.join(folder, 'x.js'), 'x');
    await symlink('x.js', path.join(folder, 'link.js'));
    for (const files of Object.values(both())) {
      expect((await files.read(path.join(folder, 'link.js'), 'file:link', anySize, alone)).toString()).toBe('x');
    }
  });

  it('that is none, or too large, is refused, and nothing is waited for', async () => {
    await promisify(execFile)('mkfifo', [path.join(folder, 'fifo')]);
    await mkdir(path.join(folder, 'folder'));
    await writeFile(path.join(folder, 'x.js'), 'x');
    const tooLarge = new Error('too large');
    for (const files of Object.values(both())) {
      for (const [name, message] of [
        ['fifo', /fifo is not a file/],
        ['folder', /folder is not a file/],
        ['missing', /missing cannot be read: ENOENT/],
        ['x.js/y', /x\.js\/y cannot be read: ENOTDIR/],
        ['a\0b', /cannot be read/],
      ] as const) {
        await expect(files.read(path.join(folder, name), 'file:x', anySize, alone)).rejects.toMatchObject({
          kind: 'notFound',
          message: expect.stringMatching(message) as string,
          data: { uri: 'file:x' },
        });
      }
      const refuse = () => {
        throw tooLarge;
      };
      await expect(files.read(path.join(folder, 'x.js'), 'file:x', refuse, alone)).rejects.toMatchObject({
        message: expect.stringContaining('too large') as string,
      });
    }
  });

  it('is left to threads for a while when files turn out to be slow', async () => {
    let now = 0;
    let each = 0.1;
    const files = new SourceFiles(() => (now += each));
    const file = path.join(folder, 'x.js');
    await writeFile(file, 'x');
    const readSome = async (count: number): Promise<void> => {
      for (let index = 0; index < count; index += 1) await files.read(file, 'file:x', anySize, alone);
    };
    await readSome(100);
    expect(files.atOnce).toBe(true);
    // As a disk that seeks; one such read alone, as where another process had the core, changes nothing.
    each = 8;
    await readSome(1);
    expect(files.atOnce).toBe(true);
    await readSome(3);
    expect(files.atOnce).toBe(false);
    expect((await files.read(file, 'file:x', anySize, alone)).toString()).toBe('x');
    now += 1000;
    expect(files.atOnce).toBe(true);
  });
});

describe('a folder', () => {
  it('is of this machine by its file system', async () => {
    expect(await isLocal(folder)).toBe(true);
    expect(await isLocal('/proc')).toBe(false);
    expect(await isLocal(path.join(folder, 'missing'))).toBe(false);
  });
});
