// What systemd gives to a person who logs in: the user's own manager, below which cgroups are delegated, and a session
// beside it, where none are. Makes a user and logs in as one, so it runs on a machine of its own: scripts/machines.ts.
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import type { MachineReport } from '../../src/container/index.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { mainProgram } from '../support/served-host.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const execute = promisify(execFile);
const user = { name: 'tester', id: '1500' };

describe('a person who has logged in', () => {
  const inManager = ['systemd-run', '--user', '--scope', '--quiet'];

  beforeAll(async () => {
    await execute('useradd', ['--create-home', '--uid', user.id, user.name]);
    // What a login does, without a terminal.
    await execute('systemctl', ['start', `user@${user.id}.service`]);
  });

  /** Runs the program as that person, started by `wrap`. */
  async function run(wrap: readonly string[], args: readonly string[]): Promise<string> {
    const asUser = ['--reuid', user.id, '--regid', user.id, '--init-groups', '--'];
    const { stdout } = await execute('setpriv', [...asUser, ...wrap, process.execPath, mainProgram, ...args], {
      env: { ...process.env, HOME: `/home/${user.name}`, XDG_RUNTIME_DIR: `/run/user/${user.id}` },
      cwd: '/',
    }).catch((error: unknown) => {
      // `doctor` fails where something is missing, and its report says what.
      const { stdout: report = '' } = error as { stdout?: string };
      if (report === '') throw error;
      return { stdout: report };
    });
    return stdout;
  }

  const examine = async (wrap: readonly string[], runtime: string) =>
    JSON.parse(await run(wrap, ['doctor', '--json', '--runtime', runtime])) as MachineReport;

  it.each(['runc', 'crun'])('has limits by cgroup where the own manager starts the host (%s)', async (runtime) => {
    const { findings, isolation } = await examine(inManager, runtime);
    expect(findings.find(({ name }) => name === 'cgroups')).toMatchObject({ state: 'ok' });
    for (const name of ['memory', 'cpu', 'processes']) {
      expect(isolation.items.find((item) => item.name === name)).toMatchObject({ enforced: 'yes', by: 'cgroup v2' });
    }
  });

  it('is told by doctor how to get them, elsewhere', async () => {
    const { findings } = await examine([], 'runc');
    const found = findings.find(({ name }) => name === 'cgroups');
    expect(found).toMatchObject({
      state: 'weaker',
      mend: expect.stringMatching(/^systemd-run --user --scope/) as string,
    });
  });

  it('is told which setting forbids user namespaces, until it does not', async () => {
    // Debian's kernels have it.
    const setting = '/proc/sys/kernel/unprivileged_userns_clone';
    const namespaces = async () => (await examine([], 'runc')).findings.find(({ name }) => name === 'namespaces');
    await writeFile(setting, '0');
    try {
      expect(await namespaces()).toMatchObject({
        state: 'missing',
        found: expect.stringContaining('kernel.unprivileged_userns_clone is 0') as string,
        mend: 'sudo sysctl -w kernel.unprivileged_userns_clone=1',
      });
    } finally {
      await writeFile(setting, '1');
    }
    expect(await namespaces()).toMatchObject({ state: 'ok' });
  });

  it.each(['runc', 'crun'])('parses, with a driver that is ended for want of memory (%s)', async (runtime) => {
    const folder = await temporaryFolder();
    const script = 'while read -r line; do echo \'{"status":"ok","ast":{"a":1}}\'; done';
    const reference = await buildScriptDriver(folder, { language: 'toy', script });
    const hungry = await buildScriptDriver(folder, {
      language: 'hungry',
      script: 'read -r line; exec busybox dd if=/dev/zero of=/dev/null bs=200M count=1',
    });
    const root = path.join(folder, 'root');
    await mkdir(root);
    await execute('chown', ['-R', user.id, folder]);
    const common = ['--root', root, '--runtime', runtime];
    await run(inManager, ['driver', 'install', reference, ...common]);
    await run(inManager, ['driver', 'install', hungry, '--limit', 'memoryBytes=40M', ...common]);
    await writeFile(path.join(folder, 'x.toy'), 'x\n');
    const parsed = await run(inManager, [
      'parse',
      path.join(folder, 'x.toy'),
      '--language',
      'toy',
      '--format',
      'json',
      ...common,
    ]);
    expect(parsed).toContain('"a":1');
    await expect(
      run(inManager, ['parse', path.join(folder, 'x.toy'), '--language', 'hungry', ...common]),
    ).rejects.toMatchObject({
      stderr: expect.stringContaining('more memory than its limit of 41943040 bytes') as string,
    });
  });
});
