// Small files of local file systems, which are read synchronously.
import { execFileSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { isLocal, readLocalFile } from '../../../src/drivers/parse/local-files.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const any = (): boolean => true;

describe('a file of a local folder', () => {
  it('is read whole', async () => {
    const folder = await temporaryFolder();
    const file = Buffer.from(path.join(folder, 'a.js'));
    await writeFile(file, 'x = 1;\n');
    expect(await isLocal(file)).toBe(true);
    expect(readLocalFile(file, any)?.toString()).toBe('x = 1;\n');
  });

  it('is left to the thread pool where it is a link, is large, or may not be read now', async () => {
    const folder = await temporaryFolder();
    const file = Buffer.from(path.join(folder, 'a.js'));
    await writeFile(file, Buffer.alloc(1024 * 1024 + 1));
    const link = Buffer.from(path.join(folder, 'link'));
    await symlink(file, link);
    const small = Buffer.from(path.join(folder, 'small'));
    await writeFile(small, '1');
    expect(readLocalFile(link, any)).toBeUndefined();
    expect(readLocalFile(file, any)).toBeUndefined();
    expect(readLocalFile(small, () => false)).toBeUndefined();
  });

  it('does not hold the host up where it is a FIFO that nothing writes to', async () => {
    const folder = await temporaryFolder();
    const fifo = Buffer.from(path.join(folder, 'fifo'));
    execFileSync('mkfifo', [fifo.toString()]);
    const refuse = (): boolean => {
      throw new Error('not a file');
    };
    expect(() => readLocalFile(fifo, refuse)).toThrow('not a file');
  });

  it('is not taken for local in /proc, nor in a folder that is not there', async () => {
    const folder = await temporaryFolder();
    await mkdir(path.join(folder, 'there'));
    expect(await isLocal(Buffer.from('/proc/self/status'))).toBe(false);
    expect(await isLocal(Buffer.from(path.join(folder, 'missing', 'a.js')))).toBe(false);
    expect(await isLocal(Buffer.from(path.join(folder, 'there', 'a.js')))).toBe(true);
  });
});
