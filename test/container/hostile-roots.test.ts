// Images made for the faults of OCI runtimes (docs/security.md, "When the runtime is old"): folders that the runtime mounts
// on are links out of the image or no folders, the working folder is a descriptor that the runtime may have left open.
import { execFileSync } from 'node:child_process';
import { chmod, cp, mkdir, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findProgram, readRuntimeVersion } from '../../src/container/oci/runtime-program.ts';
import { findAdvisories } from '../../src/container/diagnose/runtime-advisories.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { ordinaryId } from '../support/ordinary-user.ts';
import { serveHost } from '../support/served-host.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { settings, Workplace, type TestHost } from './settings.ts';

describe.each(settings)('an image ($name)', (setting) => {
  let place: Workplace;
  let host: TestHost;
  /** A folder of the host's that everybody may write to: what keeps the image out of it is not its mode. */
  let outside: string;

  beforeAll(async () => {
    place = await Workplace.make(setting);
    host = await place.host();
    outside = path.join(place.folder, 'outside');
    await mkdir(outside);
    await writeFile(path.join(outside, 'ptmx'), 'precious');
    await writeFile(path.join(outside, 'secret'), 'secret');
    for (const each of [outside, place.folder]) await chmod(each, 0o777);
    await symlink('busybox', path.join(place.rootfs, 'bin/mv'));
    await symlink('busybox', path.join(place.rootfs, 'bin/ln'));
    await symlink('busybox', path.join(place.rootfs, 'bin/stat'));
    await symlink('busybox', path.join(place.rootfs, 'bin/rm'));
    await symlink('busybox', path.join(place.rootfs, 'bin/readlink'));
  });
  afterAll(async () => {
    expect((await readdir(outside)).sort()).toEqual(['ptmx', 'secret']);
    await place[Symbol.asyncDispose]();
  });

  /** A root file system as the workplace's, changed by `change`. */
  let copies = 0;
  async function rootWith(change: (rootfs: string) => Promise<unknown>): Promise<string> {
    const rootfs = path.join(place.folder, `rootfs-${(copies += 1)}`);
    await cp(place.rootfs, rootfs, { recursive: true, verbatimSymlinks: true });
    for (const name of ['dev', 'proc', 'tmp']) await rm(path.join(rootfs, name), { recursive: true, force: true });
    await change(rootfs);
    if (setting.user !== 'root') execFileSync('chown', ['-hR', `${ordinaryId}:${ordinaryId}`, rootfs]);
    return rootfs;
  }

  it.each(['dev', 'proc', 'tmp'])('whose /%s is a link or no folder is not run', async (name) => {
    const kinds: ((file: string) => Promise<unknown>)[] = [
      (file) => symlink(outside, file),
      (file) => symlink('../outside', file),
      (file) => symlink(name, file),
      (file) => symlink('/proc/self/fd', file),
      (file) => writeFile(file, ''),
      (file) => Promise.resolve(execFileSync('mkfifo', [file])),
    ];
    for (const make of kinds) {
      const rootfs = await rootWith((root) => make(path.join(root, name)));
      await expect(host.boot({ args: ['true'], rootfs })).rejects.toMatchObject({
        kind: 'containerFailed',
        message: expect.stringContaining(`/${name}`) as string,
        data: { mountPoint: `/${name}`, reason: expect.stringMatching(/no folder/) as string },
      });
    }
  });

  it('whose /dev is not what the runtime finds there has a /dev of the container’s own', async () => {
    const rootfs = await rootWith(async (root) => {
      await mkdir(path.join(root, 'dev'));
      for (const name of ['null', 'init', 'shm', 'pts', 'console', 'ptmx', 'fd', 'zero']) {
        await symlink(path.join(outside, 'secret'), path.join(root, 'dev', name));
      }
    });
    const script = 'stat -c "%F %t:%T" /dev/null; echo gone > /dev/null; cat /dev/null; readlink /dev/init /dev/shm';
    const { stdout } = await host.run({ args: ['sh', '-c', script], rootfs });
    expect(stdout).toBe('character special file 1:3\n');
    expect(await readFile(path.join(outside, 'secret'), 'utf8')).toBe('secret');
  });

  it('with links or a file in the place of /sys, where nothing is mounted, shows nothing of the host’s', async () => {
    for (const make of [
      (root: string) => writeFile(path.join(root, 'sys'), ''),
      (root: string) => symlink('/proc', path.join(root, 'sys')),
      (root: string) => symlink('/', path.join(root, 'sys')),
      (root: string) => symlink(outside, path.join(root, 'sys')),
      async (root: string) => {
        await mkdir(path.join(root, 'sys'));
        await symlink('/dev/null', path.join(root, 'sys/firmware'));
      },
      async (root: string) => {
        await mkdir(path.join(root, 'sys'));
        await symlink('../../outside', path.join(root, 'sys/firmware'));
      },
    ]) {
      const rootfs = await rootWith(make);
      const script =
        'cat /sys/secret /sys/firmware/secret; cat /proc/interrupts; echo x > /proc/sys/kernel/core_pattern; echo up';
      const { stdout } = await host.run({ args: ['sh', '-c', script], rootfs });
      expect(stdout).toBe('up\n');
    }
  });

  it('whose working folder is a descriptor of the runtime’s is not there outside of its root', async () => {
    for (let descriptor = 0; descriptor < 24; descriptor += 1) {
      for (const cwd of [
        `/proc/self/fd/${descriptor}`,
        `/proc/self/fd/${descriptor}/../../..`,
        `/link-${descriptor}`,
      ]) {
        const rootfs = cwd.startsWith('/link') ? await linkTo(descriptor) : place.rootfs;
        const script = 'ls -di . /; ls -d ../../../../etc/shadow ./secret; cat ../../../../../../etc/shadow';
        const outcome = await host.run({ args: ['sh', '-c', script], rootfs, cwd }).catch((error: unknown) => error);
        if (outcome instanceof Error) {
          expect(outcome, cwd).toMatchObject({ kind: 'containerFailed' });
          continue;
        }
        const { stdout } = outcome as { stdout: string };
        // Where it starts at all, the folder is one of the container's.
        expect(stdout, cwd).not.toMatch(/shadow|secret|root:/);
      }
    }
  });

  let linked: string | undefined;
  async function linkTo(descriptor: number): Promise<string> {
    linked ??= await rootWith(async (root) => {
      for (let each = 0; each < 24; each += 1) await symlink(`/proc/self/fd/${each}`, path.join(root, `link-${each}`));
    });
    expect(await readlink(path.join(linked, `link-${descriptor}`))).toBe(`/proc/self/fd/${descriptor}`);
    return linked;
  }

  it('is the same to many containers that are booted at once, whatever they do to what is their own', async () => {
    const script = `
for i in 1 2 3 4 5 6 7 8 9 10; do
  mv /dev/null /dev/old; ln -s /proc/sys/kernel/core_pattern /dev/null; rm /dev/null; mv /dev/old /dev/null
done
mv /dev /dev2; mv /proc /proc2; mv /tmp /tmp2; ln -s / /dev/shm2
[ -s /proc/interrupts ] && echo unmasked
echo x > /proc/sys/kernel/core_pattern && echo writable
stat -c "%F" /dev/null; echo end`;
    const before = await readFile('/proc/sys/kernel/core_pattern', 'utf8');
    const runs = await Promise.all(Array.from({ length: 12 }, () => host.run({ args: ['sh', '-c', script] })));
    expect(new Set(runs.map(({ stdout }) => stdout))).toEqual(new Set(['character special file\nend\n']));
    expect(await readFile('/proc/sys/kernel/core_pattern', 'utf8')).toBe(before);
  });
});

describe('a /dev that is a link out of the image', () => {
  it('has runc alone make links there, where it has no fix of CVE-2026-41579', async () => {
    const program = findProgram('runc') ?? '';
    const { version = '' } = await readRuntimeVersion(program);
    const folder = await temporaryFolder();
    const rootfs = path.join(folder, 'rootfs');
    const outside = path.join(folder, 'outside');
    for (const each of ['bin', 'proc', 'sys']) await mkdir(path.join(rootfs, each), { recursive: true });
    await mkdir(outside);
    await cp('/bin/busybox', path.join(rootfs, 'bin/sh'));
    await symlink(outside, path.join(rootfs, 'dev'));
    execFileSync(program, ['spec'], { cwd: folder });
    const config = JSON.parse(await readFile(path.join(folder, 'config.json'), 'utf8')) as { process: object };
    config.process = { ...config.process, terminal: false, args: ['/bin/sh', '-c', 'true'] };
    await writeFile(path.join(folder, 'config.json'), JSON.stringify(config));
    try {
      execFileSync(program, ['--root', path.join(folder, 'state'), 'run', path.basename(folder)], {
        cwd: folder,
        stdio: 'ignore',
      });
    } catch {
      // One that is fixed may refuse it.
    }
    const fixed = !(await findAdvisories(program, version)).includes('CVE-2026-41579');
    expect((await readdir(outside)).sort()).toEqual(fixed ? [] : ['fd', 'ptmx', 'stderr', 'stdin', 'stdout']);
  });
});

describe.each(['runc', 'crun'])('a further process of a hostile container (%s)', (runtime) => {
  it('starts in no folder outside, and reads /dev/null as the container has made it', async () => {
    const folder = await temporaryFolder();
    const reference = await buildScriptDriver(folder, { language: 'hostile', script: 'exec busybox sleep 1000' });
    await using host = serveHost(path.join(folder, 'root'), ['--runtime', runtime]);
    const { client } = host;
    const image = await client.request('image/pull', { reference });
    const { handle, id } = await client.request('container/create', {
      image: image.digest,
      writable: true,
      args: ['/bin/sh', '-c', 'exec busybox sleep 1000'],
    });
    await client.request('container/setRunState', { handle, runState: 'running' });
    await client.request('container/commit', { handle });
    const execute = (script: string, cwd = '/') =>
      client.request('container/exec', { id, args: ['/bin/sh', '-c', script], cwd, wait: true });
    const links = Array.from(
      { length: 24 },
      (_, descriptor) => `busybox ln -s /proc/self/fd/${descriptor} /link${descriptor}`,
    );
    await execute(`${links.join('; ')}; busybox mv /dev/null /dev/old; busybox ln -s /proc/1/mem /dev/null`);
    for (let descriptor = 0; descriptor < 24; descriptor += 1) {
      for (const cwd of [`/proc/self/fd/${descriptor}`, `/link${descriptor}`]) {
        const outcome = await execute(
          'busybox ls -d ../../../../../etc/shadow; busybox cat ../../../../../../etc/shadow',
          cwd,
        ).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toMatchObject({ kind: 'containerFailed' });
        else expect((outcome as { stdout?: string }).stdout).toBe('');
      }
    }
    expect(await execute('echo fine')).toMatchObject({ stdout: 'fine\n' });
    expect((await stat('/dev/null')).isCharacterDevice()).toBe(true);
  });
});
