// Containers with writable layers in every setting: as root and as an ordinary user, with runc and with crun.
import { spawn } from 'node:child_process';
import { chmod, chown, cp, mkdir, readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../../src/protocol/client.ts';
import { buildScriptDriver } from '../../support/driver-images.ts';
import { ordinaryId } from '../../support/ordinary-user.ts';
import { mainProgram } from '../../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../../support/temporary-folder.ts';
import { DelegatedCgroup, inSetting, settings } from '../settings.ts';

let folder: string;
let image: string;
beforeAll(async () => {
  folder = await makeTemporaryFolder();
  await buildScriptDriver(folder, { language: 'toy', script: 'cat' });
  image = path.join(folder, 'image-toy');
});
afterAll(() => removeFolder(folder));

describe.each(settings)('a container ($name)', (setting) => {
  it('writes to its layer, takes files and further processes, and leaves nothing when it is destroyed', async () => {
    const own = path.join(folder, `${setting.runtime}-${setting.user}`);
    await mkdir(own);
    await cp(image, path.join(own, 'image'), { recursive: true });
    if (setting.user !== 'root') {
      for (const name of ['', ...(await readdir(own, { recursive: true }))]) {
        await chown(path.join(own, name), ordinaryId, ordinaryId);
      }
      await chmod(own, 0o755);
    }
    const args = ['serve', '--stdio', '--root', path.join(own, 'root'), '--runtime', setting.runtime];
    await using cgroup =
      setting.user === 'delegated'
        ? await DelegatedCgroup.make(`babelhost-test-${process.pid}-${setting.runtime}`)
        : undefined;
    const [command, ...rest] = inSetting(setting, [process.execPath, mainProgram, ...args], await cgroup?.host());
    const child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    using client = new Client(child.stdout, child.stdin);
    const { driver } = await client.request('driver/install', { reference: `oci:${path.join(own, 'image')}:1` });
    const { handle, id } = await client.request('container/create', {
      image: driver.digest,
      args: ['/bin/sh', '-c', 'busybox cat /given; echo written > /written; while :; do busybox sleep 1; done'],
      writable: true,
    });
    await client.request('container/copyTo', { handle, files: [{ path: '/given', content: 'given\n' }] });
    await client.request('container/setRunState', { handle, runState: 'running' });
    await client.request('container/commit', { handle });
    const run = (script: string) =>
      client.request('container/exec', { id, args: ['/bin/sh', '-c', script], wait: true });
    await expect.poll(async () => (await run('busybox cat /written')).stdout).toBe('written\n');
    // Folders of the image are the container's root's, in whatever way its files are owned.
    const result = await run(
      'echo more > /opt/more && busybox mkdir -m 700 /opt/closed && busybox touch /opt/closed/file',
    );
    expect(result).toMatchObject({ stderr: '', process: { exitCode: 0 } });
    const copied = await client.request('container/copyFrom', { id, path: '/given' });
    expect(Buffer.from(copied.content, 'base64').toString()).toBe('given\n');
    const stop = await client.request('container/handle', { id });
    await client.request('container/setRunState', { handle: stop.handle, runState: 'stopped' });
    await client.request('container/commit', { handle: stop.handle });
    await client.request('container/destroy', { id });
    expect(await readdir(path.join(own, 'root', 'container-definitions'))).toEqual([]);
    await client.request('shutdown', {});
    await client.notify('exit');
    expect(await ended).toBe(0);
  });
});
