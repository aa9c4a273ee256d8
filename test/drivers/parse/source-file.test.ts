// Files of sources: whole, of regular files only, and without waiting for what is none.
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FileBudget, FileReservation } from '../../../src/drivers/parse/file-budget.ts';
import { readSourceFile } from '../../../src/drivers/parse/source-file.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-source-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const alone = new FileReservation(
  new FileBudget(),
  { timeoutMs: 0, queueTimeoutMs: 0, queueDeadline: Infinity },
  undefined,
);

describe('the file of a source', () => {
  it.each([0, 1, 70_000, 1024 * 1024, 1024 * 1024 + 1])('of %i bytes is read whole', async (size) => {
    const file = Buffer.from(path.join(folder, 'x.js'));
    const content = Buffer.alloc(size, 'line of code\n');
    await writeFile(file, content);
    expect((await readSourceFile(file, 'file:x', size, alone)).equals(content)).toBe(true);
  });

  it('may be a link', async () => {
    await writeFile(path.join(folder, 'x.js'), 'x');
    await symlink('x.js', path.join(folder, 'link.js'));
    expect((await readSourceFile(Buffer.from(path.join(folder, 'link.js')), 'file:link', 1, alone)).toString()).toBe(
      'x',
    );
  });

  it('that is none, or too large, is refused, and nothing is waited for', async () => {
    await promisify(execFile)('mkfifo', [path.join(folder, 'fifo')]);
    await mkdir(path.join(folder, 'folder'));
    await writeFile(path.join(folder, 'x.js'), 'x');
    for (const [name, message] of [
      ['fifo', /fifo is not a file/],
      ['folder', /folder is not a file/],
      ['missing', /missing cannot be read: ENOENT/],
      ['x.js/y', /x\.js\/y cannot be read: ENOTDIR/],
      ['a\0b', /cannot be read/],
    ] as const) {
      await expect(readSourceFile(Buffer.from(path.join(folder, name)), 'file:x', 1, alone)).rejects.toMatchObject({
        kind: 'notFound',
        message: expect.stringMatching(message) as string,
        data: { uri: 'file:x' },
      });
    }
    await expect(readSourceFile(Buffer.from(path.join(folder, 'x.js')), 'file:x', 0, alone)).rejects.toMatchObject({
      kind: 'contentTooLarge',
      data: { contentBytes: 1, limitBytes: 0 },
    });
  });
});
