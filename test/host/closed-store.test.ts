// A host whose root is its user's alone runs drivers in every setting: containers need no passage through it.
import { chmod, chown, cp, lstat, mkdir, readdir } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DelegatedCgroup, inSetting, settings } from '../container/settings.ts';
import { Client } from '../../src/protocol/client.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { isRoot } from '../support/privileges.ts';
import { ordinaryId } from '../support/ordinary-user.ts';
import { mainProgram } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

let folder: string;
let image: string;
beforeAll(async () => {
  folder = await makeTemporaryFolder();
  await chmod(folder, 0o755);
  const script = `while IFS= read -r line; do printf '{"status":"ok","errors":[],"ast":"1"}\\n'; done`;
  await buildScriptDriver(folder, { language: 'toy', script });
  image = path.join(folder, 'image-toy');
});
afterAll(() => removeFolder(folder));

const modeOf = async (file: string) => ((await lstat(file)).mode & 0o777).toString(8);

describe.runIf(isRoot).each(settings)('$name', (setting) => {
  it.each(['new', 'there'])('a root that was %s has nothing that another user may look into', async (kind) => {
    const own = path.join(folder, `${setting.runtime}-${setting.user}-${kind}`);
    const root = path.join(own, 'root');
    await mkdir(own);
    await cp(image, path.join(own, 'image'), { recursive: true });
    if (kind === 'there') await mkdir(root, { mode: 0o755 });
    if (setting.user !== 'root') {
      for (const name of ['', ...(await readdir(own, { recursive: true }))]) {
        await chown(path.join(own, name), ordinaryId, ordinaryId);
      }
    }
    const args = ['serve', '--stdio', '--root', root, '--runtime', setting.runtime, '--log-level', 'warn'];
    await using cgroup =
      setting.user === 'delegated'
        ? await DelegatedCgroup.make(`babelhost-test-${process.pid}-${setting.runtime}-${kind}`)
        : undefined;
    const [command, ...rest] = inSetting(setting, [process.execPath, mainProgram, ...args], await cgroup?.host());
    const child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => child.once('exit', resolve));
    using client = new Client(child.stdout, child.stdin);
    const { driver } = await client.request('driver/install', { reference: `oci:${path.join(own, 'image')}:1` });
    const { handle } = await client.request('container/create', { image: driver.digest, args: ['/bin/sh'] });
    await client.request('container/commit', { handle });
    const { uast } = await client.request('parse', { content: 'x', language: 'toy' });
    expect(uast).toBe('1');

    expect(await modeOf(root)).toBe(kind === 'new' ? '700' : '755');
    const names = await readdir(root);
    expect(names).toEqual(expect.arrayContaining(['containers', 'container-definitions', 'drivers.json', 'rootfs']));
    for (const name of names) {
      expect([name, await modeOf(path.join(root, name))]).toEqual([name, expect.stringMatching(/^[67]00$/)]);
    }
    const user = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];
    const inside = names.map((name) => path.join(root, name));
    const { exitCode, stdout } = await execa('setpriv', [...user, 'cat', ...inside], { reject: false });
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: '' });

    await client.request('shutdown', {});
    await client.notify('exit');
    expect(await ended).toBe(0);
  });
});
