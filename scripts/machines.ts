// `npm run test:machines [NAME…] [TEST-FILE…] [--OPTION=…]`: runs the container tests on virtual machines whose cgroups are mounted as this machine's
// are not: v2 alone, v1 alone, both beside each other. A guest has Debian's kernel and this machine's own root file system,
// read-only, below one that is its own; systemd runs it. With KVM it is fast; without, qemu emulates a processor, which
// takes minutes. Needs root, for the file system it shares, and Debian's archive, for the kernel.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const project = fileURLToPath(new URL('..', import.meta.url));
const sources = fileURLToPath(new URL('machines', import.meta.url));

interface Machine {
  readonly name: string;
  /** How the kernel and systemd are to mount the cgroups. */
  readonly arguments: string;
  readonly tests: readonly string[];
}

const testFile = (name: string): string => `test/container/${name}.test.ts`;
const cgroups = ['boot', 'limits', 'crash'].map(testFile);
const machines: readonly Machine[] = [
  {
    name: 'v2',
    arguments: 'systemd.unified_cgroup_hierarchy=1',
    tests: [
      ...cgroups,
      ...['hostile', 'hostile-neighbours', 'nested', 'session'].map(testFile),
      'test/container/lifecycle',
    ],
  },
  {
    name: 'hybrid',
    arguments: 'systemd.unified_cgroup_hierarchy=0',
    tests: cgroups,
  },
  {
    name: 'v1',
    arguments: 'systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1',
    tests: cgroups,
  },
];

/** What a guest needs before it has a root file system; the rest of the kernel's modules are found there. */
const earlyModules = ['virtio_pci', 'virtio_blk', 'virtiofs', 'overlay'];
const applets = ['sh', 'mount', 'umount', 'modprobe', 'mkdir', 'chmod', 'cat', 'rm', 'cp', 'ln', 'switch_root', 'echo'];
const memory = '3072M';
/** What is to be ended with this program. */
const children = new Set<ChildProcess>();
const diskBytes = 8 * 1024 ** 3;
/** Without KVM, all of `v2` takes some forty minutes on a machine that does other things too. */
const patienceMs = 2 * 60 * 60_000;

function say(sentence: string): void {
  process.stdout.write(`machines: ${sentence}\n`);
}

async function isThere(file: string): Promise<boolean> {
  return readFile(file).then(
    () => true,
    (error: unknown) => (error as NodeJS.ErrnoException).code === 'EISDIR',
  );
}

/** Installs what is missing on this machine. */
async function installPackages(): Promise<string> {
  const needed: Readonly<Record<string, string>> = {
    '/usr/bin/qemu-system-x86_64': 'qemu-system-x86',
    '/lib/systemd/systemd': 'systemd',
    '/usr/bin/dbus-daemon': 'dbus',
    '/lib/x86_64-linux-gnu/security/pam_systemd.so': 'libpam-systemd',
    '/sbin/mke2fs': 'e2fsprogs',
  };
  const missing: string[] = [];
  for (const [file, name] of Object.entries(needed)) if (!(await isThere(file))) missing.push(name);
  // A package of its own since Debian 13, part of qemu before.
  const programs = ['/usr/libexec/virtiofsd', '/usr/lib/qemu/virtiofsd'];
  const find = async () => {
    for (const program of programs) if (await isThere(program)) return program;
    return undefined;
  };
  if (missing.length > 0) {
    say(`installing Debian packages: ${missing.join(' ')}`);
    await install(missing);
  }
  if ((await find()) === undefined) await install(['virtiofsd']);
  const program = await find();
  if (program === undefined) throw new Error(`no virtiofsd at ${programs.join(' or ')}`);
  return program;
}

async function install(packages: readonly string[]): Promise<void> {
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await execute('apt-get', ['update', '-qq'], { env: environment });
  await execute('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { env: environment });
}

interface Kernel {
  readonly image: string;
  /** The folder with the folder of its modules, named by its version. */
  readonly modules: string;
  readonly version: string;
}

/** Debian's kernel for virtual machines, unpacked: installing it would make this machine's boot loader know it. */
async function fetchKernel(folder: string): Promise<Kernel> {
  const { stdout } = await execute('apt-cache', ['depends', '--important', 'linux-image-cloud-amd64']);
  const name = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
  if (name === undefined) throw new Error("Debian's archive has no linux-image-cloud-amd64: run apt-get update");
  say(`fetching ${name}`);
  const packages = path.join(folder, 'packages');
  const unpacked = path.join(folder, 'kernel');
  await mkdir(packages);
  // apt fetches as a user of its own, who may not write here, and says so.
  await execute('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', name], { cwd: packages });
  const [file = ''] = await readdir(packages);
  await execute('dpkg', ['-x', path.join(packages, file), unpacked]);
  const version = name.replace('linux-image-', '');
  await execute('busybox', ['depmod', '-b', unpacked, version]);
  return {
    image: path.join(unpacked, `boot/vmlinuz-${version}`),
    modules: path.join(unpacked, 'lib/modules'),
    version,
  };
}

/** The memory disk that a guest starts with: busybox, a few modules, and what it is to do. */
async function makeMemoryDisk(folder: string, kernel: Kernel, command: string): Promise<string> {
  const root = path.join(folder, 'memory-disk');
  await rm(root, { recursive: true, force: true });
  for (const name of ['bin', 'proc', 'sys', 'dev']) await mkdir(path.join(root, name), { recursive: true });
  await copyFile('/bin/busybox', path.join(root, 'bin/busybox'));
  for (const applet of applets) await symlink('busybox', path.join(root, 'bin', applet));
  await copyFile(path.join(sources, 'first'), path.join(root, 'init'));
  await copyFile(path.join(sources, 'machine.service'), path.join(root, 'machine.service'));
  await writeFile(path.join(root, 'modules'), kernel.modules);
  await writeFile(path.join(root, 'command'), command);
  const own = path.join(kernel.modules, kernel.version);
  const there = path.join(root, 'lib/modules', kernel.version);
  const dependencies = await readFile(path.join(own, 'modules.dep'), 'utf8');
  for (const module of earlyModules) {
    const line = dependencies.split('\n').find((each) => each.split(':')[0]?.endsWith(`/${module}.ko`));
    if (line === undefined) throw new Error(`the kernel ${kernel.version} has no module ${module}`);
    for (const file of line.replace(':', '').split(' ').filter(Boolean)) {
      await mkdir(path.dirname(path.join(there, file)), { recursive: true });
      await copyFile(path.join(own, file), path.join(there, file));
    }
  }
  await copyFile(path.join(own, 'modules.dep'), path.join(there, 'modules.dep'));
  const image = path.join(folder, 'memory-disk.gz');
  await execute('sh', ['-c', `cd "$1" && find . | busybox cpio -o -H newc | gzip -1 > "$2"`, 'sh', root, image]);
  return image;
}

/** Shares this machine's root file system; ends when qemu has closed its connection. */
async function share(program: string, folder: string): Promise<{ socket: string; child: ChildProcess }> {
  const socket = path.join(folder, 'socket');
  const root = path.join(folder, 'root');
  await rm(socket, { force: true });
  await mkdir(root, { recursive: true });
  // virtiofsd changes its root to what it shares, which cannot be the root that it has.
  const options = program.startsWith('/usr/libexec')
    ? `--shared-dir="$2" --cache=always`
    : `-o source="$2" -o cache=always`;
  const script = `mount --rbind / "$2" && exec "$1" --socket-path="$3" ${options}`;
  const child = spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', program, root, socket], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  children.add(child);
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints = (complaints + text).slice(-4096)));
  const deadline = performance.now() + 10_000;
  while (!(await readdir(folder)).includes('socket')) {
    if (child.exitCode !== null || performance.now() > deadline) throw new Error(`virtiofsd: ${complaints}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { socket, child };
}

type Accelerator = 'kvm' | 'tcg';

function qemuArguments(accelerator: Accelerator, kernel: Kernel, append: string): string[] {
  return [
    ...['-accel', accelerator, '-cpu', accelerator === 'kvm' ? 'host,arch-capabilities=off' : 'max'],
    ...['-smp', '1', '-m', memory, '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none'],
    ...['-serial', 'stdio', '-kernel', kernel.image],
    ...['-append', `console=ttyS0 quiet loglevel=3 panic=-1 ${append}`],
  ];
}

/** KVM where a kernel starts with it: some machines have the device, and guests that never begin. */
async function findAccelerator(kernel: Kernel): Promise<Accelerator> {
  const chosen = process.env['BABELHOST_TEST_ACCELERATOR'];
  if (chosen === 'kvm' || chosen === 'tcg') return chosen;
  if (!(await readdir('/dev')).includes('kvm')) return 'tcg';
  // Without a memory disk or a root the kernel panics, and reboots, which ends qemu.
  const child = spawn('qemu-system-x86_64', qemuArguments('kvm', kernel, ''), { stdio: 'ignore' });
  const patience = setTimeout(() => child.kill('SIGKILL'), 10_000);
  const [status] = (await once(child, 'exit')) as [number | null];
  clearTimeout(patience);
  return status === 0 ? 'kvm' : 'tcg';
}

/** Boots a machine, shows what its tests say, and returns their exit status; undefined if it never came to an end. */
async function run(
  machine: Machine,
  tests: readonly string[],
  folder: string,
  kernel: Kernel,
  sharing: string,
  accelerator: Accelerator,
): Promise<number | undefined> {
  const command = [
    `cd '${project}'`,
    `export PATH='${project}node_modules/.bin':/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    'export TMPDIR=/var/tmp/tests HOME=/root CI=true BABELHOST_TEST_MACHINE=1',
    // One processor: tests that run beside each other would only wait for each other.
    `{ vitest run --reporter=verbose --no-color --no-file-parallelism ${tests.map((word) => `'${word}'`).join(' ')}; echo $? > /run/status; } 2>&1 | cat`,
    'echo "machine: ended with $(cat /run/status)"',
  ].join('\n');
  const memoryDisk = await makeMemoryDisk(folder, kernel, command);
  const disk = path.join(folder, 'disk');
  await writeFile(disk, '');
  await truncate(disk, diskBytes);
  await execute('/sbin/mke2fs', ['-q', '-t', 'ext4', '-F', disk]);
  const { socket, child: server } = await share(sharing, folder);
  const guest = spawn(
    'qemu-system-x86_64',
    [
      ...qemuArguments(accelerator, kernel, `systemd.unit=machine.service systemd.show_status=0 ${machine.arguments}`),
      ...['-object', `memory-backend-memfd,id=memory,size=${memory},share=on`, '-numa', 'node,memdev=memory'],
      ...['-chardev', `socket,id=share,path=${socket}`, '-device', 'vhost-user-fs-pci,chardev=share,tag=machine'],
      ...['-drive', `file=${disk},if=none,id=disk,format=raw,cache=unsafe`, '-device', 'virtio-blk-pci,drive=disk'],
      ...['-device', 'virtio-rng-pci', '-initrd', memoryDisk],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  children.add(guest);
  const patience = setTimeout(() => guest.kill('SIGKILL'), patienceMs);
  let status: number | undefined;
  for await (const line of createInterface({ input: guest.stdout })) {
    const ended = /^machine: ended with (\d+)/.exec(line)?.[1];
    if (ended === undefined) process.stdout.write(`  ${machine.name} | ${line}\n`);
    else status = Number(ended);
  }
  clearTimeout(patience);
  if (server.exitCode === null && server.signalCode === null) {
    server.kill();
    await once(server, 'exit');
  }
  return status;
}

const words = process.argv.slice(2);
const wanted = words.filter((word) => /^\w+$/.test(word));
// Files, and options of vitest's with their values in one word.
const tests = words.filter((word) => !/^\w+$/.test(word));
const chosen = machines.filter(({ name }) => wanted.length === 0 || wanted.includes(name));
const unknown = wanted.filter((name) => !machines.some((machine) => machine.name === name));
if (unknown.length > 0) {
  say(`there is no machine ${unknown.join(', ')}: those are ${machines.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
if (process.arch !== 'x64') {
  say(`the guests are x86-64, and this machine is ${process.arch}`);
  process.exit(1);
}
if (process.getuid?.() !== 0) {
  say('only root can share this machine’s root file system with a guest: sudo npm run test:machines');
  process.exit(1);
}
const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-machines-'));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
    process.exit(1);
  });
}
try {
  const sharing = await installPackages();
  const kernel = await fetchKernel(folder);
  const accelerator = await findAccelerator(kernel);
  say(accelerator === 'kvm' ? 'with KVM' : 'without KVM: qemu emulates a processor');
  for (const machine of chosen) {
    const start = performance.now();
    const status = await run(machine, tests.length > 0 ? tests : machine.tests, folder, kernel, sharing, accelerator);
    const seconds = Math.round((performance.now() - start) / 1000);
    if (status === 0) {
      say(`${machine.name}: passed in ${seconds} s`);
    } else {
      say(`${machine.name}: ${status === undefined ? 'did not come to an end' : 'failed'} after ${seconds} s`);
      process.exitCode = 1;
    }
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
