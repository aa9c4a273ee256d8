// A host within another's container, without --privileged: podman's own, with the capabilities, the seccomp profile and the
// masked /proc that it gives by default, and one with Docker's refusal of new namespaces, made with runc. Either containers
// run, with what is weaker told, or the error names the setting of the outer container to change.
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { podmanCgroups, podmanOptions } from '../support/podman.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { cgroupKind, Workplace, type Setting, type TestHost } from './settings.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));

/** The channel to this process is passed on as the third descriptor. */
const channel = { NODE_CHANNEL_FD: '3', NODE_CHANNEL_SERIALIZATION_MODE: 'json' };

/** As docs/operations.md has it. Where v1 is, there is no such file, and no need. */
const moveBelow = `
if [ -e /sys/fs/cgroup/cgroup.procs ]; then mkdir /sys/fs/cgroup/host; echo 0 > /sys/fs/cgroup/host/cgroup.procs; fi
exec "$@"
`;

const unmasked = ['--security-opt', 'unmask=ALL'];

let place: Workplace;

afterEach(async () => {
  await place[Symbol.asyncDispose]();
});

/** Folders of an outer container's root file system: the machine's own /usr with what leads there, nothing else. */
async function makeOuterRoot(folder: string): Promise<void> {
  for (const name of ['usr', 'etc', 'tmp', 'proc', 'sys', 'dev', 'run', 'mnt']) {
    await mkdir(path.join(folder, name), { recursive: true });
  }
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${name}`, path.join(folder, name));
}

describe.each<Setting['runtime']>(['runc', 'crun'])('a host in a container of podman (%s)', (runtime) => {
  beforeEach(async () => {
    place = await Workplace.make({ name: 'nested', user: 'root', runtime });
  });

  /** Starts one, the outer container having further options of `podman run`. */
  const hostWithin = (...options: string[]) => hostUnder([], options);

  /** The same, started by a command line of its own there. */
  async function hostUnder(starter: readonly string[], options: readonly string[]): Promise<TestHost> {
    // Apart from what is bound into it: a container with its own root within would have a whole /proc there.
    const folder = await temporaryFolder();
    const at = (name: string) => path.join(folder, name);
    await makeOuterRoot(at('outer'));
    const outer = [
      // podman's own choice, crun, refuses machines with cgroup v1 beside v2.
      ...[...podmanOptions(folder), '--runtime', 'runc'],
      ...['run', '--rm', '--log-driver', 'none', '--network', 'none', '--hostname', 'outer', '--preserve-fds', '1'],
      ...podmanCgroups(folder),
      // podman's defaults are above what root may set where it has no CAP_SYS_RESOURCE.
      ...['--ulimit', 'nofile=4096:4096', '--ulimit', 'nproc=4096:4096'],
      ...['/usr:/usr:ro', `${project}:${project}:ro`, `${place.folder}:${place.folder}`].flatMap((each) => [
        '-v',
        each,
      ]),
      ...Object.entries({ ...channel, PATH: process.env['PATH'] }).flatMap(([name, value]) => [
        '-e',
        `${name}=${value}`,
      ]),
    ];
    return place.host({}, ['podman', ...outer, ...options, '--rootfs', at('outer'), ...starter]);
  }

  it('is told which option gives it a whole /proc', async () => {
    const host = await hostWithin();
    await expect(host.run({ args: ['true'] })).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/cannot mount a fresh \/proc \(EPERM\).*unmask=ALL/) as string,
    });
  });

  it('runs containers with that, none as root, under its own host name, and tells what is weaker', async () => {
    const host = await hostWithin(...unmasked);
    expect((await host.run({ args: ['hostname'] })).stdout).toBe('outer\n');
    await expect(host.run({ args: ['hostname'], hostname: 'other' })).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/forbids to set a host name: leave it out, or .*seccomp=unconfined/) as string,
    });
    const { identity, items } = await host.isolation();
    expect(identity).toBe('granted');
    const weaker = items.filter(({ enforced }) => enforced !== 'yes').map(({ name }) => name);
    expect(weaker).toEqual(['memory', 'cpu', 'processes', 'separateIds']);
    const marker = `sleep\0${100_000 + process.pid}\0`;
    const container = await host.boot({ args: marker.split('\0').slice(0, 2) });
    const owners: string[] = [];
    for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
      const read = (file: string) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
      if ((await read('cmdline')) === marker) owners.push(/^Uid:\t(\d+)/m.exec(await read('status'))?.[1] ?? '');
    }
    expect(owners).toEqual([String(0x7000_0000)]);
    await container.kill();
  });

  it('runs containers as a root that may map no id but its own', async () => {
    const host = await hostWithin(...unmasked, '--cap-drop', 'ALL', '--cap-add', 'SETFCAP');
    expect((await host.run({ args: ['echo', 'within'] })).stdout).toBe('within\n');
    expect((await host.isolation()).identity).toBe('own');
  });

  it('is told which capabilities it lacks', async () => {
    const host = await hostWithin(...unmasked, '--cap-drop', 'ALL');
    await expect(host.run({ args: ['true'] })).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/uid_map \(EPERM\).*--cap-add SETUID,SETGID,SETFCAP/) as string,
    });
  });

  it('with CAP_SYS_ADMIN runs containers beside cgroups and a /proc that it may not change', async () => {
    const host = await hostWithin('--cap-add', runtime === 'runc' ? 'SYS_ADMIN,SYS_PTRACE' : 'SYS_ADMIN');
    expect((await host.run({ args: ['hostname'] })).stdout).toBe('babelhost\n');
    const { identity, items } = await host.isolation();
    expect(identity).toBe('privileged');
    expect(items.find(({ name }) => name === 'memory')).toMatchObject({
      enforced: 'weaker',
      reason: expect.stringContaining('is read-only') as string,
    });
  });

  it('with --privileged limits containers by cgroup, or is told to make room for that', async () => {
    const host = await hostWithin('--privileged');
    expect((await host.run({ args: ['hostname'] })).stdout).toBe('babelhost\n');
    const { items } = await host.isolation();
    const memory = items.find(({ name }) => name === 'memory');
    // podman gives a container of v2 a cgroup of its own as root, with the host's processes right in it.
    const expected =
      cgroupKind === 'v2'
        ? { enforced: 'weaker', reason: expect.stringContaining('move them into a cgroup below it') as string }
        : { enforced: 'yes', by: 'cgroup v1' };
    expect(memory).toMatchObject(expected);
  });

  it('with --privileged and in a cgroup of its own limits containers', async () => {
    const host = await hostUnder(['sh', '-c', moveBelow, 'sh'], ['--privileged']);
    const limits = { memoryBytes: 48 * 1024 ** 2 };
    const { exit } = await host.run({ args: ['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=200M', 'count=1'], limits });
    expect(exit).toEqual({ reason: 'outOfMemory', limitBytes: limits.memoryBytes });
  });

  // crun needs nothing beside it, as the test before shows.
  if (runtime === 'crun') return;

  it('with CAP_SYS_ADMIN alone is told what runc needs beside it', async () => {
    const host = await hostWithin('--cap-add', 'SYS_ADMIN');
    await expect(host.run({ args: ['true'] })).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/runc needs CAP_SYS_PTRACE .*--runtime crun/) as string,
    });
  });
});

/** The calls that Docker's profile refuses with EPERM without CAP_SYS_ADMIN. */
const newNamespaces = 0x7e02_0000;
const refusal = {
  defaultAction: 'SCMP_ACT_ALLOW',
  syscalls: [
    { names: ['unshare', 'setns', 'mount', 'umount2', 'pivot_root'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 },
    ...Array.from({ length: 32 }, (_, bit) => 2 ** bit)
      .filter((flag) => (newNamespaces & flag) !== 0)
      .map((flag) => ({
        names: ['clone'],
        action: 'SCMP_ACT_ERRNO',
        errnoRet: 1,
        args: [{ index: 0, value: flag, valueTwo: flag, op: 'SCMP_CMP_MASKED_EQ' }],
      })),
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
  ],
};

/** Docker's and podman's defaults have these in common. */
const capabilities = [
  ...['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'NET_BIND_SERVICE', 'SETFCAP', 'SETGID', 'SETPCAP'],
  ...['SETUID', 'SYS_CHROOT'],
].map((name) => `CAP_${name}`);

/** The configuration of a container around a test host; the machine's own root file system, bound, is its root. */
function outerSpec(root: string): object {
  const host = fileURLToPath(new URL('./fixtures/host.ts', import.meta.url));
  const mount = (destination: string, type: string, ...options: string[]) => ({
    ...{ destination, type, source: type },
    options: ['nosuid', 'noexec', ...options],
  });
  return {
    ociVersion: '1.0.2',
    hostname: 'outer',
    root: { path: root },
    process: {
      user: { uid: 0, gid: 0 },
      args: [process.execPath, host],
      env: Object.entries({ ...channel, PATH: process.env['PATH'] }).map(([name, value]) => `${name}=${value}`),
      cwd: '/',
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    },
    mounts: [
      mount('/proc', 'proc', 'nodev'),
      mount('/dev', 'tmpfs', 'mode=755', 'size=65536k'),
      mount('/dev/pts', 'devpts', 'newinstance', 'ptmxmode=0666', 'mode=0620'),
      mount('/sys', 'sysfs', 'nodev', 'ro'),
      mount('/sys/fs/cgroup', 'cgroup', 'nodev', 'ro'),
    ],
    linux: { namespaces: ['pid', 'mount', 'ipc', 'uts'].map((type) => ({ type })), seccomp: refusal },
  };
}

const startOuter = `
mount --bind / "$1/root"
# Which may be a file system of its own.
mount --bind "$3" "$1/root$3"
exec runc --root "$1/state" run --preserve-fds 1 --bundle "$1" "$2"
`;

describe('a host in a container that refuses new namespaces', () => {
  it('is told to change the seccomp profile', async () => {
    place = await Workplace.make({ name: 'nested', user: 'root', runtime: 'runc' });
    const bundle = path.join(place.folder, 'outer');
    await mkdir(path.join(bundle, 'root'), { recursive: true });
    await writeFile(path.join(bundle, 'config.json'), JSON.stringify(outerSpec(path.join(bundle, 'root'))));
    const name = `babelhost-test-${path.basename(place.folder)}`;
    const host = await place.host({}, ['unshare', '--mount', 'sh', '-c', startOuter, 'sh', bundle, name, tmpdir()]);
    await expect(host.run({ args: ['true'] })).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/cannot make a user namespace \(EPERM\).*seccomp=unconfined/) as string,
      // No setting of the machine's own is to blame.
      data: expect.not.objectContaining({ mend: expect.anything() as unknown }) as object,
    });
  });
});
