// The socket of a host that listens goes with it, after SIGKILL too: within two seconds, and only if it is still its own.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, lstat, mkdir, readdir, readFile, readlink } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Client } from '../../../src/protocol/client.ts';
import { ordinaryId } from '../../support/ordinary-user.ts';
import { mainProgram } from '../../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../../support/temporary-folder.ts';
import { inSetting, runcSettings } from '../settings.ts';

describe.each(runcSettings.filter(({ user }) => user === 'root' || user === 'granted'))(
  'the socket of a host ($name)',
  (setting) => {
    let folder: string;
    let root: string;
    let socket: string;
    let started: ChildProcess[];

    beforeEach(async () => {
      folder = await makeTemporaryFolder();
      root = path.join(folder, 'root');
      socket = path.join(root, 'socket');
      started = [];
      await mkdir(root);
      if (setting.user !== 'root') await chown(root, ordinaryId, ordinaryId);
    });

    afterEach(async () => {
      for (const child of started) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        await ended;
      }
      await expect.poll(hostFolders).toEqual([]);
      await removeFolder(folder);
    });

    const hostFolders = () => readdir(path.join(root, 'containers'));
    const isThere = () =>
      lstat(socket).then(
        () => true,
        () => false,
      );

    /** A host that listens at the socket. */
    async function listening(): Promise<ChildProcess> {
      const options = ['--listen', `unix:${socket}`, '--log-level', 'error', '--root', root];
      const [command, ...args] = inSetting(setting, [process.execPath, mainProgram, 'serve', ...options]);
      const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      started.push(child);
      const [said] = (await once(child.stderr, 'data')) as [Buffer];
      expect(said.toString()).toContain('Listening at');
      return child;
    }

    /** The guard's keeper: the host's child that outlives it. */
    async function keeperOf({ pid = 0 }: ChildProcess): Promise<number> {
      const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ');
      const commands = await Promise.all(children.map((child) => readFile(`/proc/${child}/cmdline`, 'utf8')));
      const keeper = Number(children[commands.findIndex((command) => command.includes('\0guard\0'))]);
      expect(keeper).toBeGreaterThan(1);
      return keeper;
    }

    async function kill(child: ChildProcess): Promise<void> {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }

    async function expectAnswer(): Promise<void> {
      const stream = connect(socket);
      await once(stream, 'connect');
      const client = new Client(stream, stream);
      expect(await client.request('host/status', {})).toMatchObject({ pools: [] });
      client[Symbol.dispose]();
      stream.destroy();
    }

    it('is gone within two seconds of its SIGKILL', async () => {
      const host = await listening();
      expect((await lstat(socket)).isSocket()).toBe(true);
      await kill(host);
      await expect.poll(isThere, { timeout: 2000 }).toBe(false);
    });

    it('stays where the next host has made it anew meanwhile', async () => {
      const host = await listening();
      const before = await lstat(socket, { bigint: true });
      const keeper = await keeperOf(host);
      process.kill(keeper, 'SIGSTOP');
      const [old = ''] = await hostFolders();
      try {
        await kill(host);
        await listening();
      } finally {
        process.kill(keeper, 'SIGCONT');
      }
      // It is through when its host's folder is gone.
      await expect.poll(hostFolders).not.toContain(old);
      const after = await lstat(socket, { bigint: true });
      expect(after.mtimeNs).not.toBe(before.mtimeNs);
      await expectAnswer();
    });

    it('stays when the guard alone ends, and is known to the guard that is started in its place', async () => {
      const host = await listening();
      const [old = ''] = await hostFolders();
      const keeper = await keeperOf(host);
      const reaper = Number((await readFile(`/proc/${keeper}/task/${keeper}/children`, 'utf8')).trim());
      process.kill(reaper, 'SIGKILL');
      const noted = async () => {
        const names = (await hostFolders()).filter((name) => name !== old);
        return await Promise.all(
          names.map((name) => readlink(path.join(root, 'containers', name, 'listened')).catch(() => 'not yet')),
        );
      };
      await expect.poll(noted, { timeout: 10_000 }).toEqual([expect.stringMatching(`^\\d+:\\d+:\\d+:${socket}$`)]);
      await expectAnswer();
      await kill(host);
      await expect.poll(isThere, { timeout: 2000 }).toBe(false);
    });
  },
);
