// A host within another's container, without --privileged: made here with runc and what podman gives by default, that is
// its capabilities, masked /proc, read-only /sys and cgroups, and its refusal of new namespaces. Either containers run,
// with what is weaker told, or the error names the setting of the outer container to change.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Workplace, type TestHost } from './settings.ts';

/** containers-common's default_capabilities. */
const capabilities = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
].map((name) => `CAP_${name}`);

/** What containers-common's and Docker's profiles answer EPERM to where CAP_SYS_ADMIN is not held. */
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

const maskedPaths = ['acpi', 'kcore', 'keys', 'latency_stats', 'timer_list', 'timer_stats', 'sched_debug', 'scsi'];
const readonlyPaths = ['asound', 'bus', 'fs', 'irq', 'sys', 'sysrq-trigger'];
const inProc = (names: string[]) => names.map((name) => `/proc/${name}`);

interface OuterOptions {
  readonly refusesNamespaces: boolean;
  readonly masksProc: boolean;
}

/** The configuration of a container around a test host; the machine's own root file system, bound, is its root. */
function outerSpec(root: string, { refusesNamespaces, masksProc }: OuterOptions): object {
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
      // The channel to this process is passed on as the third descriptor.
      env: [`PATH=${process.env['PATH'] ?? ''}`, 'NODE_CHANNEL_FD=3', 'NODE_CHANNEL_SERIALIZATION_MODE=json'],
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
    linux: {
      namespaces: ['pid', 'mount', 'ipc', 'uts'].map((type) => ({ type })),
      ...(masksProc && { maskedPaths: inProc(maskedPaths), readonlyPaths: inProc(readonlyPaths) }),
      ...(refusesNamespaces && { seccomp: refusal }),
    },
  };
}

const startOuter = `
mount --bind / "$1/root"
exec runc --root "$1/state" run --preserve-fds 1 --bundle "$1" "$2"
`;

describe('a host in a container', () => {
  let place: Workplace;

  beforeEach(async () => {
    place = await Workplace.make({ name: 'nested', user: 'root', runtime: 'runc' });
  });

  afterEach(async () => {
    await place[Symbol.asyncDispose]();
  });

  async function hostWithin(options: OuterOptions): Promise<TestHost> {
    const bundle = path.join(place.folder, 'outer');
    await mkdir(path.join(bundle, 'root'), { recursive: true });
    await writeFile(path.join(bundle, 'config.json'), JSON.stringify(outerSpec(path.join(bundle, 'root'), options)));
    const name = `babelhost-test-${path.basename(place.folder)}`;
    return place.host({}, ['unshare', '--mount', 'sh', '-c', startOuter, 'sh', bundle, name]);
  }

  it('that refuses new namespaces names the seccomp profile', async () => {
    const host = await hostWithin({ refusesNamespaces: true, masksProc: true });
    await expect(host.run({ args: ['true'] })).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/cannot make a user namespace \(EPERM\).*seccomp=unconfined/) as string,
      // No setting of the machine's own is to blame.
      data: expect.not.objectContaining({ mend: expect.anything() as unknown }) as object,
    });
  });

  it('that masks /proc names the option that does not', async () => {
    const host = await hostWithin({ refusesNamespaces: false, masksProc: true });
    await expect(host.run({ args: ['true'] })).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(/cannot mount a fresh \/proc \(EPERM\).*unmask=ALL/) as string,
    });
  });

  it('with both allowed runs containers, and tells what is weaker', async () => {
    const host = await hostWithin({ refusesNamespaces: false, masksProc: false });
    expect((await host.run({ args: ['echo', 'within'] })).stdout).toBe('within\n');
    const { items } = await host.isolation();
    const weaker = items.filter(({ enforced }) => enforced !== 'yes').map(({ name }) => name);
    expect(weaker).toEqual(expect.arrayContaining(['memory', 'cpu', 'processes', 'unprivilegedId']));
  });
});
