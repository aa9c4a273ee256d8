// A hostile guest: each attempt to get out of its container is made outside first, as root, where it must work.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { chmod, chown, copyFile, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cannotRun } from '../support/cannot-run.ts';
import { settings, Workplace, type TestHost } from './settings.ts';
import { grantedId, ordinaryId } from '../support/ordinary-user.ts';

const execute = promisify(execFile);
const source = fileURLToPath(new URL('./fixtures/attempts.c', import.meta.url));

interface Attempt {
  /** What the kernel answers within a container. */
  readonly answer: string;
  /** What it answers outside, where that is more than 'done'. */
  readonly outside?: RegExp;
}

const attempts: Record<string, Attempt> = {
  inet: { answer: 'EAFNOSUPPORT' },
  inet6: { answer: 'EAFNOSUPPORT' },
  netlink: { answer: 'EAFNOSUPPORT' },
  packet: { answer: 'EAFNOSUPPORT' },
  raw: { answer: 'EAFNOSUPPORT' },
  'family-with-high-bits': { answer: 'EAFNOSUPPORT' },
  mount: { answer: 'EPERM' },
  'mount-new': { answer: 'EPERM' },
  remount: { answer: 'EPERM' },
  unmount: { answer: 'EPERM' },
  'pivot-root': { answer: 'EPERM' },
  chroot: { answer: 'EPERM' },
  'user-namespace': { answer: 'EPERM' },
  'mount-namespace': { answer: 'EPERM' },
  // As on a kernel that lacks them: libc then uses clone without these flags, which is allowed.
  'cloned-namespace': { answer: 'ENOSYS' },
  'cloned3-namespace': { answer: 'ENOSYS' },
  'enter-namespace': { answer: 'EPERM' },
  'host-name': { answer: 'EPERM' },
  trace: { answer: 'EPERM' },
  'other-memory': { answer: 'EPERM' },
  'add-key': { answer: 'EPERM' },
  'key-ring': { answer: 'EPERM' },
  bpf: { answer: 'EPERM' },
  perf: { answer: 'EPERM' },
  'fault-handler': { answer: 'EPERM' },
  'io-uring': { answer: 'EPERM' },
  module: { answer: 'EPERM' },
  device: { answer: 'EPERM' },
  'file-handle': { answer: 'EPERM' },
  'shared-memory': { answer: 'ENOSYS' },
  // There is no terminal to open.
  'terminal-input': { answer: 'ENOENT' },
  'asks-for-terminal-input': { answer: 'ENOSYS' },
  'core-dumps': { answer: 'EPERM' },
  groups: { answer: 'EPERM' },
  priority: { answer: 'EPERM' },
  'priority-of-other 1': { answer: 'EPERM' },
  'limit-of-other 1': { answer: 'ENOSYS' },
  'lease /shared': { answer: 'EPERM' },
  'lease-with-high-bits /shared': { answer: 'EPERM' },
  'notify /bin': { answer: 'EPERM' },
  'write-hint /shared': { answer: 'ENOSYS' },
  'change-mode /shared': { answer: 'EROFS' },
  'change-mode-by-descriptor /shared': { answer: 'EROFS' },
  'change-times /shared': { answer: 'EROFS' },
  'drop-from-memory /shared': { answer: 'ENOSYS' },
  'page-out /shared': { answer: 'ENOSYS' },
  'see-in-memory /shared': { answer: 'ENOSYS' },
  watch: { answer: 'ENOSYS' },
  queue: { answer: 'ENOSYS' },
  'pipe-size': { answer: 'EPERM' },
  // Few machines keep some.
  'huge-page': { answer: 'ENOSYS', outside: /^(done|ENOMEM)$/ },
  'huge-file': { answer: 'ENOSYS' },
  'urgent-byte': { answer: 'ENOSYS' },
  'make-file /new': { answer: 'EROFS' },
  'make-file /dev/new': { answer: 'done' },
  'make-file /proc/sys/kernel/hostname': { answer: 'EACCES' },
  'write-file /proc/sys/kernel/core_pattern': { answer: 'EACCES' },
  // An empty file stands in its place.
  'read-file /proc/interrupts': { answer: 'ENODATA' },
  'read-file /proc/keys': { answer: 'ENODATA' },
  // Opened outside: nothing is mapped at address 0.
  'read-file /proc/1/mem': { answer: 'EACCES', outside: /^EIO$/ },
  'read-file /proc/1/environ': { answer: 'EACCES' },
};

/** In mount, host name and other namespaces of their own, because outside they work. */
async function outside(program: string, words: string[]): Promise<string> {
  const { stdout } = await execute('unshare', ['--mount', '--uts', '--ipc', program, ...words]);
  return stdout.trim();
}

/** The number of a process's terminal, 0 for none (proc_pid_stat(5)). */
async function terminalOf(pid: number | undefined): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[4]);
}

/** The terminals of the test hosts among a process's descendants. */
async function terminalsBelow(pid: number): Promise<number[]> {
  const found: number[] = [];
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).split(' ').filter(Boolean).map(Number);
  for (const child of children) {
    const terminal = await terminalOf(child);
    if (terminal !== 0 && (await readFile(`/proc/${child}/cmdline`, 'utf8')).includes('host.ts')) found.push(terminal);
    found.push(...(await terminalsBelow(child)));
  }
  return found;
}

describe.each(settings)('a hostile guest ($name)', (setting) => {
  let place: Workplace;
  let host: TestHost;
  let program: string;

  beforeAll(async () => {
    place = await Workplace.make(setting);
    program = path.join(place.rootfs, 'bin/attempts');
    await execute('cc', ['-static', '-O1', '-o', program, source]);
    // As an image's files: they belong to the container's root, or to the user who has unpacked them.
    const shared = path.join(place.rootfs, 'shared');
    await writeFile(shared, 'shared');
    const owner = setting.user === 'root' ? 0x7000_0000 : ordinaryId;
    await chown(shared, owner, owner);
    host = await place.host();
  });

  afterAll(async () => {
    await place[Symbol.asyncDispose]();
  });

  /** As root, where the kernel and the file system can shift the owners of files. */
  const hasSeparateIds = async () =>
    (await host.isolation()).items.some(({ name, enforced }) => name === 'separateIds' && enforced === 'yes');

  const inside = async (...words: string[]) => (await host.run({ args: ['attempts', ...words] })).stdout.trim();

  it.each(Object.entries(attempts))('is kept from: %s', async (attempt, { answer, outside: proof = /^done$/ }) => {
    const words = attempt.split(' ');
    // An allowed call needs no proof. A file of the test's own stands for one of the image's, and its own process for
    // process 1, which some machines keep even from root.
    if (answer !== 'done') {
      const done = await outside(
        program,
        words.map((word) =>
          word
            .replace(/^\/new$/, path.join(place.folder, 'new'))
            .replace(/^\/(shared|bin)$/, path.join(place.rootfs, '$1'))
            .replace('/1/', `/${process.pid}/`)
            .replace(/^1$/, String(process.pid)),
        ),
      );
      // A kernel built without modules has nothing to keep anybody from.
      if (attempt === 'module' && done === 'ENOSYS') return;
      expect(done).toMatch(proof);
    }
    expect(await inside(...words)).toBe(answer);
  });

  it('does not see the files of the host', async () => {
    const secret = path.join(place.folder, 'secret');
    await writeFile(secret, 'secret');
    await chmod(secret, 0o644);
    expect(await outside(program, ['read-file', secret])).toBe('done');
    expect(await inside('read-file', secret)).toBe('ENOENT');
    expect(await inside('read-file', `/proc/1/root${secret}`)).toBe('EACCES');
    expect(await inside('read-file', `/proc/self/cwd/../../..${secret}`)).toBe('ENOENT');
  });

  it('does not see the processes of the host', async () => {
    expect(await outside(program, ['signal-process', String(process.pid)])).toBe('done');
    expect(await inside('signal-process', String(process.pid))).toBe('ESRCH');
    const { stdout } = await host.run({ args: ['sh', '-c', 'echo /proc/[0-9]*'] });
    expect(stdout.trim().split(' ').length).toBeLessThanOrEqual(3);
  });

  it('does not reach the abstract sockets of the host', async () => {
    const name = `babelhost-test-${process.pid}-${setting.runtime}-${setting.user}`;
    const server = createServer().listen(`\0${name}`);
    try {
      expect(await outside(program, ['abstract-socket', name])).toBe('done');
      expect(await inside('abstract-socket', name)).toBe('ECONNREFUSED');
    } finally {
      server.close();
    }
  });

  it('has no network interface that is up', async () => {
    const { stdout } = await host.run({ args: ['sh', '-c', 'cat /proc/net/dev'] });
    expect(stdout.split('\n').slice(2).join('').trim()).toMatch(/^lo:( +0)+$/);
  });

  it('has no capabilities, cannot gain any, and is filtered', async () => {
    const { stdout } = await host.run({ args: ['sh', '-c', 'cat /proc/self/status'] });
    for (const kind of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']) expect(stdout).toContain(`Cap${kind}:\t0000000000000000`);
    expect(stdout).toContain('NoNewPrivs:\t1');
    expect(stdout).toContain('Seccomp:\t2');
  });

  it.runIf(setting.user === 'root')('does not become the owner of a setuid program', async () => {
    const copy = path.join(place.rootfs, 'bin/setuid');
    await copyFile(program, copy);
    const other = 0x7000_0000 + 7;
    await chown(copy, other, other);
    await chmod(copy, 0o4755);
    // Its folder is the test's own, which others may not search.
    await chmod(place.folder, 0o711);
    const outsider = ['--reuid', `${ordinaryId}`, '--regid', `${ordinaryId}`, '--clear-groups'];
    const { stdout } = await execute('setpriv', [...outsider, copy, 'effective-id']);
    expect(stdout.trim()).toBe(String(other));
    for (const user of ['', '5:5']) {
      const inContainer = await host.run({ args: ['/bin/setuid', 'effective-id'], user });
      expect(inContainer.stdout.trim()).toBe(user === '' ? '0' : '5');
    }
  });

  it('cannot open the terminal that the host sits on, or type into it', async () => {
    const onTerminal = ['sh', '-c', 'exec script --quiet --return --command "$*" /dev/null', 'sh'];
    const attempt = [...onTerminal.slice(1), program, 'own-terminal-input'];
    // Root may, whatever dev.tty.legacy_tiocsti says.
    expect((await execute('sh', attempt)).stdout).toContain('done');
    const onTerminalHost = await place.host({}, onTerminal);
    expect(await terminalsBelow(onTerminalHost.child.pid ?? 0)).not.toEqual([]);
    expect((await onTerminalHost.run({ args: ['attempts', 'own-terminal-input'] })).stdout).toBe('ENXIO\n');
    const container = await onTerminalHost.boot({ args: ['sh', '-c', 'echo up; exec cat'] });
    await container.line();
    const [, driver] = await container.processes();
    expect(await terminalOf(driver)).toBe(0);
    await container.kill();
  });

  it('is, on the host, an id that owns nothing there', async () => {
    const container = await host.boot({ args: ['sleep', '1000'] });
    const [, driver] = await container.processes();
    const { stdout } = await execute('stat', ['-c', '%u:%g', `/proc/${driver}`]);
    const [uid, gid] = stdout.trim().split(':').map(Number);
    expect(gid).toBe(uid);
    const first = { root: 0x7000_0000, delegated: grantedId, granted: grantedId, own: ordinaryId }[setting.user];
    if (await hasSeparateIds()) {
      // A range of its own, after the one that images' files have on disk.
      expect(uid).toBeGreaterThan(0x7000_0000);
      expect(uid).toBeLessThan(2_147_352_576);
      expect((uid ?? 0) % 65536).toBe(0);
    } else {
      expect(uid).toBe(first);
    }
    await container.kill();
  });

  it('does not keep others from locking files of the image, and sees no locks of theirs', async () => {
    const file = path.join(place.rootfs, 'shared');
    const holder = spawn(program, ['lock-file', file], { stdio: ['pipe', 'pipe', 'inherit'] });
    try {
      await once(holder.stdout, 'data');
      // Nobody else can lock a locked file.
      expect(await outside(program, ['lock-file', file])).toBe('EAGAIN');
      const container = await host.boot({ args: ['attempts', 'lock-file', '/shared'] });
      expect(await container.line()).toBe('locked');
      expect((await host.run({ args: ['attempts', 'lock-file', '/shared'] })).stdout).toBe('locked\ndone\n');
      await container.kill();
    } finally {
      holder.stdin.end();
      await once(holder, 'exit');
    }
  });

  it('leaves pending signals to others, which count against the user who runs babelhost', async () => {
    // Others of this user may have some of their own.
    const [waiting] = (await outside(program, ['pending-signals', '1000'])).split('/');
    expect(Number(waiting)).toBeGreaterThanOrEqual(1000);
    const [taken, limit] = (await inside('pending-signals', '1000')).split('/');
    expect(limit).toBe('128');
    // Another host's container with the same ids may have some of them.
    expect(Number(taken)).toBeGreaterThan(0);
    expect(Number(taken)).toBeLessThanOrEqual(128);
  });

  it.runIf(setting.user === 'root')('leaves what the kernel counts by the user to others', async ({ skip }) => {
    if (!(await hasSeparateIds()))
      skip(cannotRun('the kernel or the file system here cannot shift the owners of files'));
    await chmod(place.folder, 0o711);
    const user = String(0x1000_0000 + process.pid);
    const become = ['--reuid', user, '--regid', user, '--clear-groups', 'sh', '-c', 'ulimit -n 1024; exec "$@"', 'sh'];
    const attempt = async () => {
      const child = spawn('setpriv', [...become, program, 'descriptors-in-flight', '3000']);
      const [line] = (await once(child.stdout, 'data')) as [Buffer];
      return { child, line: line.toString() };
    };
    const holders = [await attempt(), await attempt()];
    // The second process of the same user has none left.
    expect(holders.map(({ line }) => line)).toEqual(['1025 ETOOMANYREFS\n', '0 ETOOMANYREFS\n']);
    for (const { child } of holders) {
      child.stdin.end();
      await once(child, 'exit');
    }
    const container = await host.boot({ args: ['attempts', 'descriptors-in-flight', '3000'] });
    expect(await container.line()).toBe('1025 ETOOMANYREFS');
    const second = await host.boot({ args: ['attempts', 'descriptors-in-flight', '1000'] });
    expect(await second.line()).toBe('1000 0');
    await second.kill();
    await container.kill();
  });

  it('does not learn where the image lies on the host', async () => {
    const { stdout } = await host.run({ args: ['sh', '-c', 'cat /proc/self/mountinfo /proc/self/mounts'] });
    expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toBe('');
    expect(stdout).toContain(' / ');
    expect(stdout).not.toContain(place.folder);
    expect(stdout).not.toContain(path.basename(place.folder));
  });

  it('cannot end process 1, and does not outlive it by refusing SIGTERM', async () => {
    const container = await host.boot({
      args: [
        'sh',
        '-c',
        'trap "" TERM INT HUP; for s in KILL TERM STOP INT HUP; do kill -$s 1; done; echo alive; while :; do sleep 1; done',
      ],
    });
    expect(await container.line()).toBe('alive');
    await container.signal(15);
    expect(await container.processes()).not.toEqual([]);
    expect(await container.kill()).toEqual({ reason: 'killed' });
  });
});
