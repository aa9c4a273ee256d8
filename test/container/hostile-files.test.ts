// What the host reads of a root file system that is no image's, or that somebody changes meanwhile: /etc/passwd and
// /etc/group are never files of the host's, and nothing in their place is waited for.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstat, mkdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { resolveUser } from '../../src/container/oci/user.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let folder: string;
let rootfs: string;
/** A folder of the host's with a user and a group that are not the image's. */
let outside: string;

beforeEach(async () => {
  folder = await temporaryFolder();
  rootfs = path.join(folder, 'rootfs');
  outside = path.join(folder, 'outside');
  for (const each of [path.join(rootfs, 'etc'), outside]) await mkdir(each, { recursive: true });
  await writeFile(path.join(outside, 'passwd'), 'app:x:4242:4242::/:/bin/sh\n');
  await writeFile(path.join(outside, 'group'), 'staff:x:4242:\n');
  await writeFile(path.join(rootfs, 'etc/passwd'), 'app:x:1000:1000::/:/bin/sh\n');
  await writeFile(path.join(rootfs, 'etc/group'), 'staff:x:50:\n');
});

const resolve = (user = 'app:staff') => resolveUser(rootfs, user, 65536);

const kinds: Record<string, [(file: string, name: string) => Promise<unknown>, RegExp]> = {
  'an absolute link': [(file, name) => symlink(path.join(outside, name), file), /is a symbolic link/],
  'a link out of the root': [(file, name) => symlink(`../../outside/${name}`, file), /is a symbolic link/],
  'a link to itself': [(file, name) => symlink(name, file), /is a symbolic link/],
  'a link to a device without end': [(file) => symlink('/dev/zero', file), /is a symbolic link/],
  'a FIFO': [(file) => Promise.resolve(execFileSync('mkfifo', [file])), /is not a file/],
  'a device': [(file) => Promise.resolve(execFileSync('mknod', [file, 'c', '1', '5'])), /is not a file/],
  'a socket': [leaveSocket, /is not a file/],
  'a folder': [(file) => mkdir(file), /is not a file/],
  'a file of a terabyte': [
    async (file) => {
      await writeFile(file, '');
      await truncate(file, 2 ** 40);
    },
    /has more than 1048576 bytes/,
  ],
};

/** Leaves a socket without a listener: closing removes the file of the first name only. */
async function leaveSocket(file: string): Promise<void> {
  const server = createServer().listen(`${file}.1`);
  await once(server, 'listening');
  await rename(`${file}.1`, file);
  server.close();
}

describe.each(['passwd', 'group'])('/etc/%s', (name) => {
  it.each(Object.entries(kinds))('is refused where it is %s', async (_what, [make, message]) => {
    const file = path.join(rootfs, 'etc', name);
    await rm(file);
    await make(file, name);
    await expect(resolve()).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(message) as string,
      data: { user: 'app:staff' },
    });
  });
});

describe('/etc', () => {
  const swaps: Record<string, (file: string) => Promise<unknown>> = {
    'a link to the host’s': (file) => symlink('/etc', file),
    'a link out of the root': (file) => symlink('../outside', file),
    'a link to itself': (file) => symlink('etc', file),
    'a FIFO': (file) => Promise.resolve(execFileSync('mkfifo', [file])),
    'a file': (file) => writeFile(file, 'app:x:1:1'),
  };

  it.each(Object.entries(swaps))('is refused where it is %s', async (_what, make) => {
    await rm(path.join(rootfs, 'etc'), { recursive: true });
    await make(path.join(rootfs, 'etc'));
    await expect(resolve()).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/\/etc is not a folder/) as string,
    });
  });

  it('is what it was when it was looked at, though somebody puts a link in its place all the time', async () => {
    await symlink(outside, path.join(rootfs, 'link'));
    const program = `const fs = require('fs'); process.chdir(${JSON.stringify(rootfs)});
      for (;;) for (const [from, to] of [['etc', 'kept'], ['link', 'etc'], ['etc', 'link'], ['kept', 'etc']]) fs.renameSync(from, to);`;
    const swapper = spawn(process.execPath, ['-e', program], { stdio: 'ignore' });
    try {
      // A look and a read by paths, one after the other, is led out.
      let led = false;
      const deadline = performance.now() + 20_000;
      while (!led && performance.now() < deadline) {
        const etc = path.join(rootfs, 'etc');
        if (!(await lstat(etc).catch(() => undefined))?.isDirectory()) continue;
        const text = await readFile(path.join(etc, 'passwd'), 'utf8').catch(() => '');
        led = text.includes('4242');
      }
      expect(led).toBe(true);
      const seen = new Set<unknown>();
      for (let round = 0; round < 1000; round += 1) {
        seen.add(
          await resolve('app').then(
            ({ uid }) => uid,
            () => 'refused',
          ),
        );
      }
      expect([...seen]).toEqual(expect.arrayContaining([1000, 'refused']));
      expect([...seen]).not.toContain(4242);
    } finally {
      swapper.kill('SIGKILL');
      await once(swapper, 'exit');
    }
  });
});
