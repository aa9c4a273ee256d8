// Sockets where other users can write: nobody else's host is asked, and none of ours listens where another could take its
// place. Another user is needed for it, so root runs this.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, readdir, rename, rm, symlink } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { startListening } from '../support/listening-host.ts';
import { isRoot } from '../support/privileges.ts';
import { collect, runProgram } from '../support/program.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** An id that nobody on the machine has. */
const stranger = 54_321;

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

const asStranger = (program: string, ...args: string[]) =>
  spawn('/usr/bin/python3', ['-u', '-c', program, ...args], { uid: stranger, gid: stranger, cwd: '/', stdio: 'pipe' });

/** Listens as another user, for everybody, and says what it is sent. Ends with the test. */
async function listenAsStranger(socket: string): Promise<() => string> {
  const child = asStranger(
    `import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
s.listen()
print('listening')
while True:
    print(s.accept()[0].recv(1000))`,
    socket,
  );
  let heard = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (heard += text));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await once(child, 'close');
  });
  await expect.poll(() => heard).toContain('listening');
  return () => heard.replace('listening\n', '');
}

/** Whether another user can take a socket, or the folder that it is in, away and listen there. All is as it was after it. */
async function canReplace(socket: string): Promise<boolean> {
  const child = asStranger(
    `import os, socket, sys
os.rename(sys.argv[1], sys.argv[1] + '.old')
socket.socket(socket.AF_UNIX).bind(sys.argv[1])`,
    socket,
  );
  if ((await collect(child)).status !== 0) return false;
  await rm(socket);
  await rename(`${socket}.old`, socket);
  return true;
}

const places: Record<string, (folder: string) => Promise<string>> = {
  'that all may write to': async (at) => {
    await chmod(at, 0o777);
    return at;
  },
  'that a group may write to': async (at) => {
    await chown(at, 0, stranger);
    await chmod(at, 0o775);
    return at;
  },
  'of another user': async (at) => {
    await chown(at, stranger, stranger);
    return at;
  },
  'of another user, though it is sticky': async (at) => {
    await chown(at, stranger, stranger);
    await chmod(at, 0o1777);
    return at;
  },
  'below one that all may write to': async (at) => {
    await mkdir(path.join(at, 'ours'));
    await chmod(at, 0o777);
    return path.join(at, 'ours');
  },
};

describe.runIf(isRoot)('a host', () => {
  it.each(Object.entries(places))(
    'does not listen in a folder %s, where its place can be taken',
    async (what, make) => {
      const at = path.join(folder, 'at');
      await mkdir(at);
      const socket = path.join(await make(at), 'socket');
      // As it would be without the refusal.
      const program = 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])';
      expect(await collect(spawn('/usr/bin/python3', ['-c', program, socket]))).toMatchObject({ status: 0 });
      expect(await canReplace(what.startsWith('below') ? path.dirname(socket) : socket)).toBe(true);

      const { status, stderr } = await runProgram(['serve', '--listen', `unix:${socket}2`, '--root', folder]);
      expect({ status, stderr }).toEqual({
        status: 1,
        stderr: expect.stringMatching(
          what.startsWith('of another user')
            ? /belongs to another user.*\(conflict\)/
            : /others may write to.*\(conflict\)/,
        ) as string,
      });
      expect(await readdir(at)).not.toContain('socket2');
    },
  );

  it('listens in a sticky folder, where its place cannot be taken', async () => {
    const at = path.join(folder, 'at');
    await mkdir(at);
    await chmod(at, 0o1777);
    const socket = path.join(at, 'socket');
    const { child, ended } = await startListening(socket, path.join(folder, 'root'));
    expect(await canReplace(socket)).toBe(false);
    // Also by a link of one's own.
    await symlink(socket, path.join(folder, 'link'));
    expect(await runProgram(['status', '--connect', `unix:${folder}/link`])).toMatchObject({ status: 0 });
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ status: 0 });
  });

  it('of another user is not asked', async () => {
    const at = path.join(folder, 'at');
    await mkdir(at);
    await chmod(at, 0o1777);
    const socket = path.join(at, 'socket');
    const heard = await listenAsStranger(socket);
    const stream = connect(socket);
    stream.end('a source');
    await expect.poll(heard).toContain('a source');
    const link = path.join(folder, 'link');
    await symlink(socket, link);
    for (const way of [socket, link]) {
      expect(await runProgram(['parse', '/etc/hostname', '--connect', `unix:${way}`])).toMatchObject({
        status: 1,
        stdout: '',
        stderr: expect.stringMatching(/belongs to another user \(id 54321\), who would get.*\(notFound\)/) as string,
      });
    }
    expect(heard()).toBe("b'a source'\n");
    // Nor does a host of ours take its place.
    expect(await runProgram(['serve', '--listen', `unix:${socket}`, '--root', folder])).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('(conflict)') as string,
    });
  });

  it('is not asked where another could have taken its place', async () => {
    const at = path.join(folder, 'at');
    await mkdir(at);
    const socket = path.join(at, 'socket');
    const { child, ended } = await startListening(socket, path.join(folder, 'root'));
    await chmod(at, 0o777);
    expect(await runProgram(['status', '--connect', `unix:${socket}`])).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/others may write to .*\/at, who would get/) as string,
    });
    child.kill('SIGTERM');
    expect(await ended).toMatchObject({ status: 0 });
  });
});
