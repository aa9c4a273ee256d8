// Faults of machines: each has an error that names what to change, and containers start again when the cause is gone.
import { execFile } from 'node:child_process';
import { chmod, copyFile, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { explainFailure } from '../../../src/container/diagnose/failures.ts';
import {
  explainNamespaceDenial,
  readNamespaceSettings,
  type NamespaceSettings,
} from '../../../src/container/diagnose/namespaces.ts';
import { bootstrapPath, initProgramPath } from '../../../src/base/native.ts';
import { eventually, Workplace, type Setting, type TestHost } from '../settings.ts';
import { ordinaryId } from '../../support/ordinary-user.ts';

const execute = promisify(execFile);

const root: Setting = { name: 'root', user: 'root', runtime: 'runc' };
const granted: Setting = { name: 'granted', user: 'granted', runtime: 'runc' };

const asOrdinary = ['--reuid', `${ordinaryId}`, '--regid', `${ordinaryId}`, '--clear-groups'];

let places: Workplace[];

beforeEach(() => {
  places = [];
});

afterEach(async () => {
  for (const place of places) await place[Symbol.asyncDispose]();
});

async function workplace(setting: Setting): Promise<Workplace> {
  const place = await Workplace.make(setting);
  places.push(place);
  return place;
}

async function script(place: Workplace, text: string, name = 'runtime'): Promise<string> {
  const file = path.join(place.folder, name);
  await writeFile(file, `#!/bin/sh\n${text}\n`);
  await chmod(file, 0o755);
  return file;
}

const hello = async (host: TestHost) => (await host.run({ args: ['echo', 'hello'] })).stdout;

describe('a runtime', () => {
  it('that is not there', async () => {
    const place = await workplace(root);
    const host = await place.host({ runtime: '/missing/runc' });
    await expect(hello(host)).rejects.toMatchObject({
      kind: 'runtimeMissing',
      message: 'There is no OCI runtime at /missing/runc: give the path of runc or crun.',
    });
    // Not here, whatever PATH is: a name that no folder has.
    const named = await place.host({ runtime: 'no-such-runtime' });
    await expect(hello(named)).rejects.toMatchObject({ kind: 'runtimeMissing' });
  });

  it('that fails, with and without words', async () => {
    const place = await workplace(root);
    const silent = await place.host({ runtime: await script(place, 'exit 9') });
    await expect(hello(silent)).rejects.toMatchObject({
      kind: 'containerFailed',
      message: 'Could not start a container with runtime: the runtime ended with status 9.',
    });
    const broken = await script(place, 'exit 0');
    await expect(hello(await place.host({ runtime: broken }))).rejects.toThrow(/cannot read .*pid \(ENOENT\)/);
  });

  it("that makes files for itself has the host's folder for them, which goes with the guard", async () => {
    const place = await workplace(root);
    const told = path.join(place.folder, 'told');
    const says = 'echo "$_LIBCONTAINER_STATEDIR"; stat --file-system --format %T "$_LIBCONTAINER_STATEDIR"';
    const host = await place.host({ runtime: await script(place, `{ ${says}; } > ${told}; exit 9`) });
    await expect(hello(host)).rejects.toMatchObject({ kind: 'containerFailed' });
    const [folder, fileSystem] = (await readFile(told, 'utf8')).split('\n');
    expect(path.dirname(folder ?? '')).toBe(place.directory);
    expect(fileSystem).toBe('tmpfs');
  });

  it('that hangs', async () => {
    const place = await workplace(root);
    const host = await place.host({ runtime: await script(place, 'exec sleep 1000'), bootTimeoutMs: 300 });
    await expect(hello(host)).rejects.toMatchObject({ kind: 'timeout', data: { timeoutMs: 300 } });
  });

  it('that is too old is told of, with its version', async () => {
    const place = await workplace(root);
    const answer = 'if [ "$1" = --version ]; then echo "runc version 1.0.0~rc93+ds1"; exit; fi';
    const old = await script(place, `${answer}; exit 1`, 'runc');
    await expect(hello(await place.host({ runtime: old }))).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(
        /status 1\. runc is too old: it is 1\.0\.0~rc93\+ds1, and babelhost needs 1\.1 or newer/,
      ) as string,
      data: { mend: 'sudo apt-get install runc' },
    });
  });
});

describe('the native programs', () => {
  it('may be replaced or removed while a host runs', async () => {
    const place = await workplace(root);
    const bootstrap = path.join(place.folder, 'bootstrap');
    const programs = [bootstrap, path.join(place.folder, 'init')];
    await copyFile(bootstrapPath(), bootstrap);
    await copyFile(initProgramPath(), path.join(place.folder, 'init'));
    const host = await place.host({}, ['env', `BABELHOST_BOOTSTRAP=${bootstrap}`]);
    const { guard } = await host.prepare();
    // As an upgrade does it: by ones that know nothing of what this host asks for.
    for (const program of programs) {
      await copyFile('/bin/false', `${program}.new`);
      await rename(`${program}.new`, program);
    }
    expect(await hello(host)).toBe('hello\n');
    for (const program of programs) await rm(program);
    expect(await hello(host)).toBe('hello\n');
    // A new guard is the same program too, and has the same init.
    process.kill(guard, 'SIGKILL');
    await eventually(async () => (await host.prepare()).guard !== guard);
    expect(await hello(host)).toBe('hello\n');
  });

  it('that are not there are looked for again', async () => {
    const place = await workplace(root);
    const program = path.join(place.folder, 'bootstrap');
    const host = await place.host({}, ['env', `BABELHOST_BOOTSTRAP=${program}`]);
    const mend = `make -C ${path.resolve(import.meta.dirname, '../../../native')}`;
    const missing = (name: string) => ({ kind: 'runtimeMissing', data: { program: name, mend } });
    await expect(hello(host)).rejects.toMatchObject(missing('bootstrap'));
    await copyFile(bootstrapPath(), program);
    await expect(hello(host)).rejects.toMatchObject(missing('init'));
    await copyFile(initProgramPath(), path.join(place.folder, 'init'));
    expect(await hello(host)).toBe('hello\n');
  });
});

const pidOf = (host: TestHost): Promise<string> => Promise.resolve(String(host.child.pid));

/** The process of the guard that starts containers: the first child of the guard's process 1. */
async function starterOf(host: TestHost): Promise<string> {
  const { guard } = await host.prepare();
  const [starter = ''] = (await readFile(`/proc/${guard}/task/${guard}/children`, 'utf8')).split(' ');
  expect(await readFile(`/proc/${starter}/cmdline`, 'utf8')).toContain('guard');
  return starter;
}

describe('a machine', () => {
  it('whose limit on user namespaces is reached: not taken for a full disk', async () => {
    const place = await workplace(root);
    const none = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"';
    const limited = await place.host({}, ['unshare', '--user', '--map-root-user', 'sh', '-c', none, 'sh']);
    await expect(hello(limited)).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringContaining('does not mean that a disk is full') as string,
      data: { mend: 'sudo sysctl -w user.max_user_namespaces=15000' },
    });
    const raise = 'echo 100 > /proc/sys/user/max_user_namespaces';
    await execute('nsenter', ['--user', '--target', await pidOf(limited), 'sh', '-c', raise]);
    expect(await hello(limited)).toBe('hello\n');
  });

  const full = {
    kind: 'containerFailed',
    message: expect.stringContaining('A file system is full') as string,
  };

  it('whose disk is full, until there is room again; a host that has begun does without', async () => {
    const place = await workplace(root);
    const filler = `${place.directory}/filler`;
    const fill = `dd if=/dev/zero of='${filler}' bs=64k count=1 2> /dev/null`;
    const filled = `mount -t tmpfs -o size=64k tmpfs '${place.directory}'; ${fill}; exec "$@"`;
    const host = await place.host({}, ['unshare', '--mount', 'sh', '-c', filled, 'sh']);
    await expect(hello(host)).rejects.toMatchObject(full);
    const inside = ['--mount', '--target', await pidOf(host), 'sh', '-c'];
    await execute('nsenter', [...inside, `rm '${filler}'`]);
    expect(await hello(host)).toBe('hello\n');
    // Containers' files lie in memory.
    await execute('nsenter', [...inside, fill]).catch(() => undefined);
    expect(await hello(host)).toBe('hello\n');
  });

  it('without memory for bundles, until there is some again', async () => {
    const place = await workplace(root);
    const host = await place.host();
    const { guard } = await host.prepare();
    const [name = ''] = await readdir(place.directory);
    const allow = (size: string) =>
      execute('nsenter', [
        ...['--mount', '--target', String(guard)],
        ...['mount', '-o', `remount,size=${size}`, path.join(place.directory, name)],
      ]);
    await allow('4k');
    await expect(hello(host)).rejects.toMatchObject(full);
    await allow('1m');
    expect(await hello(host)).toBe('hello\n');
  });

  it('where newuidmap may not do its work', async () => {
    const place = await workplace(granted);
    const host = await place.host({}, ['setpriv', '--no-new-privs']);
    await expect(hello(host)).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringContaining('must be setuid root') as string,
    });
  });

  it.each([
    {
      what: 'file descriptors',
      limit: '--nofile',
      few: '20:',
      many: '1000:',
      word: /file descriptors left/,
      of: pidOf,
    },
    { what: 'processes', limit: '--nproc', few: '1:', many: '1000:', word: /process ids left/, of: starterOf },
  ])('without $what to spare, until there are some again', async ({ limit, few, many, word, of }) => {
    const place = await workplace(granted);
    const host = await place.host();
    expect(await hello(host)).toBe('hello\n');
    const container = await host.boot({ args: ['cat'] });
    const process = await of(host);
    // As that user: root without CAP_SYS_RESOURCE may not.
    const allow = (amount: string) =>
      execute('setpriv', [...asOrdinary, 'prlimit', '--pid', process, `${limit}=${amount}`]);
    await allow(few);
    await expect(hello(host)).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringMatching(word) as string,
    });
    await allow(many);
    expect(await hello(host)).toBe('hello\n');
    // A container that runs is not affected.
    await container.write('still here\n', true);
    expect(await container.output()).toEqual({ stdout: 'still here\n', stderr: '' });
  });
});

describe('the starter', () => {
  /** How many descriptors it has: they follow on one another. */
  const descriptorsOf = async (process: string) => (await readdir(`/proc/${process}/fd`)).length;

  // None of a start's five connections can be taken; some can; all, and the runtime cannot be watched.
  it.each([0, 2, 5])('says that it is without file descriptors (%i left), until it has some again', async (left) => {
    const place = await workplace(root);
    const host = await place.host({ bootTimeoutMs: 10_000 });
    expect(await hello(host)).toBe('hello\n');
    const container = await host.boot({ args: ['cat'] });
    const starter = await starterOf(host);
    const allow = (amount: number) => execute('prlimit', ['--pid', starter, `--nofile=${amount}:`]);
    await allow((await descriptorsOf(starter)) + left);
    for (let times = 0; times < 2; times += 1) {
      await expect(hello(host)).rejects.toMatchObject({
        kind: 'containerFailed',
        message: expect.stringMatching(/EMFILE.*There are no file descriptors left: raise ulimit -n/s) as string,
      });
    }
    await allow(1000);
    expect(await Promise.all([hello(host), hello(host)])).toEqual(['hello\n', 'hello\n']);
    await container.write('still here\n', true);
    expect(await container.output()).toEqual({ stdout: 'still here\n', stderr: '' });
  });

  it('starts a few runtimes at once, in the order in which they were asked for, and waits for none that hangs', async () => {
    const place = await workplace(root);
    const bound = 3 * availableParallelism();
    // Hangs, but for a container whose command says that it is to be let through; tells of each that was started.
    const runtime = await script(
      place,
      `for word in "$@"; do [ "$last" = --bundle ] && bundle=$word; last=$word; done
       case "$*" in *" run "*) echo >> ${place.folder}/begun; grep -q through "$bundle/config.json" || exec sleep 1000;; esac
       exec runc "$@"`,
    );
    const begun = async () => (await readFile(path.join(place.folder, 'begun'), 'utf8').catch(() => '')).length;
    const host = await place.host({ runtime, bootTimeoutMs: 20_000 });
    await host.prepare();
    const hanging = Promise.allSettled(Array.from({ length: bound + 1 }, () => host.boot({ args: ['cat'] })));
    await eventually(async () => (await begun()) === bound);
    expect((await host.run({ args: ['echo', 'through'] })).stdout).toBe('through\n');
    expect(await begun()).toBe(bound + 2);
    await host.end();
    for (const { status } of await hanging) expect(status).toBe('rejected');
  });
});

describe('the words for a failure', () => {
  it.each([
    ['cannot make a user namespace (ENOSPC): No space left on device', /max_user_namespaces/],
    ['cannot make a pid and mount namespace (ENOSPC): No space', /max_pid_namespaces/],
    ['cannot mount a fresh /proc (EPERM): Operation not permitted', /unmask=ALL/],
    ['cannot execute newuidmap (ENOENT): No such file', /sudo apt-get install uidmap/],
    ['cgroups in hybrid mode not supported, drop all controllers', /crun refuses/],
    ['write /x: no space left on device', /file system is full/],
  ])('%s', (text, advice) => {
    const error = explainFailure('start a container', text);
    expect(error.kind).toBe('containerFailed');
    expect(error.message).toMatch(advice);
    expect(error.data['reason']).toBe(text);
  });
});

describe('a refused namespace', () => {
  const none: NamespaceSettings = {
    status: 'Name:\tnode\nNoNewPrivs:\t0\nSeccomp:\t0\n',
    usernsClone: undefined,
    apparmorRestricts: undefined,
    apparmorProfile: undefined,
  };

  it.each<[string, Partial<NamespaceSettings>, RegExp, string | undefined]>([
    [
      'Debian’s setting',
      { usernsClone: '0' },
      /^kernel\.unprivileged_userns_clone is 0/,
      'kernel.unprivileged_userns_clone=1',
    ],
    [
      'Ubuntu’s setting',
      { usernsClone: '1', apparmorRestricts: '1', apparmorProfile: 'unconfined' },
      /^kernel\.apparmor_restrict_unprivileged_userns is 1/,
      'kernel.apparmor_restrict_unprivileged_userns=0',
    ],
    [
      'an outer seccomp filter',
      { status: 'Seccomp:\t2\n' },
      /^babelhost runs under a seccomp filter.*seccomp=unconfined/,
      undefined,
    ],
    [
      'an outer AppArmor profile',
      { apparmorProfile: 'docker-default (enforce)' },
      /^babelhost is confined by the AppArmor profile docker-default \(enforce\).*apparmor=unconfined/,
      undefined,
    ],
    [
      'several at once',
      { usernsClone: '0', status: 'Seccomp:\t2\n' },
      /unprivileged_userns_clone is 0.*; babelhost runs under a seccomp filter/,
      'kernel.unprivileged_userns_clone=1',
    ],
    ['nothing that is known', {}, /none of the settings that are known/, undefined],
  ])('is put down to %s', (_name, settings, advice, assignment) => {
    const refusal = explainNamespaceDenial({ ...none, ...settings });
    expect(refusal.advice).toMatch(advice);
    expect(refusal.mend).toBe(assignment === undefined ? undefined : `sudo sysctl -w ${assignment}`);
  });

  it('is told with it, where the bootstrap reports one', () => {
    for (const step of ['make a user namespace (EPERM)', 'mount a tmpfs on /mnt (EACCES)']) {
      const error = explainFailure('start a container', `cannot ${step}: refused`);
      expect(error.message).toContain(explainNamespaceDenial(readNamespaceSettings()).advice);
    }
  });
});
