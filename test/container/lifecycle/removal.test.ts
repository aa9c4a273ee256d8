// Containers whose layers cannot be removed by paths: they are removed when they are destroyed or at a later start, and
// their store opens in any case. In every setting, as the owners of a container's files differ between them.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, cp, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { Client } from '../../../src/protocol/client.ts';
import { buildScriptDriver } from '../../support/driver-images.ts';
import { makeImmutable } from '../../support/immutable.ts';
import { collect } from '../../support/program.ts';
import { ordinaryId } from '../../support/ordinary-user.ts';
import { mainProgram } from '../../support/served-host.ts';
import { stormOf } from '../../support/storm.ts';
import { makeTemporaryFolder, removeFolder } from '../../support/temporary-folder.ts';
import { DelegatedCgroup, inSetting, runcSettings, type Setting } from '../settings.ts';

/** Makes 1,024 folders for each round, each in the one before: ten rounds are a path of 20,480 bytes. */
const makeDeep = (rounds: number) => `d=a; for i in 1 2 3 4 5 6 7 8 9 10; do d=$d/$d; done
busybox mkdir /deep; cd /deep
for i in $(busybox seq ${rounds}); do busybox mkdir -p $d && cd -P $d || exit 1; done`;

/** Files and folders that their owner may not enter, and names of bytes that are no text. */
const makeClosed = `name=$(busybox printf '\\377\\n\\200')
busybox mkdir -p /closed/inner/"$name" && echo x > /closed/inner/"$name"/"$name" &&
busybox chmod 000 /closed/inner/"$name" && busybox chmod 000 /closed/inner /closed`;

const makeWide = `busybox mkdir /wide && cd /wide && busybox seq 1 ${stormOf(10_000, 100_000)} | busybox xargs busybox touch`;

let folder: string;
let image: string;
beforeAll(async () => {
  folder = await makeTemporaryFolder();
  await buildScriptDriver(folder, { language: 'toy', script: 'cat' });
  image = path.join(folder, 'image-toy');
});
afterAll(() => removeFolder(folder));

/** A store, and hosts on it, in a setting. */
class Store implements AsyncDisposable {
  readonly folder: string;
  readonly root: string;
  readonly setting: Setting;
  readonly #cgroup: DelegatedCgroup | undefined;

  private constructor(own: string, setting: Setting, cgroup: DelegatedCgroup | undefined) {
    this.folder = own;
    this.root = path.join(own, 'root');
    this.setting = setting;
    this.#cgroup = cgroup;
  }

  static async make(name: string, setting: Setting): Promise<Store> {
    const own = path.join(folder, `${name}-${setting.user}`);
    await mkdir(own);
    await cp(image, path.join(own, 'image'), { recursive: true });
    if (setting.user !== 'root') {
      for (const file of ['', ...(await readdir(own, { recursive: true }))]) {
        await chown(path.join(own, file), ordinaryId, ordinaryId);
      }
      await chmod(own, 0o755);
    }
    const delegated = setting.user === 'delegated';
    const cgroup = delegated ? await DelegatedCgroup.make(`babelhost-test-${process.pid}-${name}`) : undefined;
    return new Store(own, setting, cgroup);
  }

  /** Where the definitions of containers are, and what is left of them. */
  get definitions(): string {
    return path.join(this.root, 'container-definitions');
  }

  async #spawn(args: readonly string[]) {
    const words = [process.execPath, mainProgram, ...args, '--root', this.root];
    const [command, ...rest] = inSetting(this.setting, words, await this.#cgroup?.host());
    return spawn(command, rest, { stdio: 'pipe' });
  }

  /** What `doctor` tells of the store. */
  async doctor() {
    const { stdout, stderr } = await collect(await this.#spawn(['doctor', '--json']));
    expect(stderr).toBe('');
    const { findings } = JSON.parse(stdout) as {
      findings: { name: string; state: string; found: string; mend?: string }[];
    };
    expect(findings.filter(({ state }) => state === 'missing')).toEqual([]);
    return findings.filter(({ name }) => name === 'leftover');
  }

  /** Runs a host for as long as `use` takes; returns its log. */
  async withHost(use: (client: Client) => Promise<void>): Promise<string> {
    const child = await this.#spawn(['serve', '--stdio']);
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log += text;
    });
    const ended = once(child, 'exit');
    using client = new Client(child.stdout, child.stdin);
    await use(client);
    await client.request('shutdown', {});
    await client.notify('exit');
    expect(await ended).toEqual([0, null]);
    return log;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cgroup?.[Symbol.asyncDispose]();
  }
}

/** Makes a container that has a writable layer and does nothing. */
async function makeContainer(client: Client, digest: string): Promise<string> {
  const args = ['/bin/sh', '-c', 'while :; do busybox sleep 1; done'];
  const { handle, id } = await client.request('container/create', { image: digest, args, writable: true });
  await client.request('container/setRunState', { handle, runState: 'running' });
  await client.request('container/commit', { handle });
  return id;
}

async function run(client: Client, id: string, script: string): Promise<void> {
  const done = await client.request('container/exec', { id, args: ['/bin/sh', '-c', script], wait: true });
  expect(done).toMatchObject({ stderr: '', process: { exitCode: 0 } });
}

async function stopAndDestroy(client: Client, id: string): Promise<void> {
  const { handle } = await client.request('container/handle', { id });
  await client.request('container/setRunState', { handle, runState: 'stopped' });
  await client.request('container/commit', { handle });
  await client.request('container/destroy', { id });
  await expect(client.request('container/state', { id })).rejects.toMatchObject({ kind: 'notFound' });
}

async function install(client: Client, store: Store): Promise<string> {
  const reference = `oci:${path.join(store.folder, 'image')}:1`;
  return (await client.request('driver/install', { reference, update: true })).driver.digest;
}

/** Expects that a host starts on a store, lists its containers, and runs another. */
async function expectUsable(store: Store): Promise<string> {
  return await store.withHost(async (client) => {
    expect((await client.request('container/list', {})).containers).toEqual([]);
    const id = await makeContainer(client, await install(client, store));
    await run(client, id, 'echo x > /file');
    await stopAndDestroy(client, id);
  });
}

describe.each(runcSettings)('a destroyed container ($name)', (setting) => {
  it('is gone with its layer, however deep, wide, closed or named that was', async () => {
    await using store = await Store.make('shapes', setting);
    await store.withHost(async (client) => {
      const id = await makeContainer(client, await install(client, store));
      for (const script of [makeDeep(10), makeClosed, makeWide]) await run(client, id, script);
      // Node cannot remove it by its path.
      const deep = path.join(store.definitions, id, 'layer', 'upper', 'deep');
      await expect(rm(deep, { recursive: true })).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
      await stopAndDestroy(client, id);
      expect(await readdir(store.definitions)).toEqual([]);
    });
    await expectUsable(store);
  });

  it('is swept with its layer where its host was killed while it destroyed it', async () => {
    await using store = await Store.make('killed', setting);
    await store.withHost(async (client) => {
      const id = await makeContainer(client, await install(client, store));
      for (const script of [makeDeep(3), makeClosed]) await run(client, id, script);
      const { handle } = await client.request('container/handle', { id });
      await client.request('container/setRunState', { handle, runState: 'stopped' });
      await client.request('container/commit', { handle });
      // The state in the middle of a removal: folders of the layer have been moved up.
      const gone = path.join(store.definitions, '.gone-1-1-killed');
      execFileSync('mv', [path.join(store.definitions, id), gone]);
      execFileSync('mv', [path.join(gone, 'layer', 'upper'), path.join(gone, '0')]);
      await rm(path.join(gone, 'layer'), { recursive: true });
    });
    expect(await readdir(store.definitions)).toEqual(['.gone-1-1-killed']);
    await expectUsable(store);
    expect(await readdir(store.definitions)).toEqual([]);
  });

  it('is gone for clients where its layer cannot be removed, which is told and done at a later start', async (context) => {
    await using store = await Store.make('immutable', setting);
    const told = await store.withHost(async (client) => {
      const id = await makeContainer(client, await install(client, store));
      await run(client, id, 'busybox mkdir -p /d/e && echo x > /d/e/kept && echo x > /d/gone');
      const kept = path.join(store.definitions, id, 'layer', 'upper', 'd', 'e', 'kept');
      const refused = makeImmutable(kept);
      if (refused !== undefined) context.skip(refused);
      onTestFinished(() => {
        execFileSync('chattr', ['-R', '-f', '-i', store.definitions]);
      });
      await stopAndDestroy(client, id);
    });
    expect(told).toContain('could not be removed');
    const [left = '', ...others] = await readdir(store.definitions);
    expect(left).toMatch(/^\.gone-/);
    expect(others).toEqual([]);
    expect(await expectUsable(store)).toMatch(/cannot remove .*kept \(EPERM\)/);
    const whole = path.join(store.definitions, left);
    // Everything else was removed.
    const names = await readdir(whole, { recursive: true });
    expect(names.filter((name) => name.endsWith('gone'))).toEqual([]);
    const [finding, ...more] = await store.doctor();
    expect(more).toEqual([]);
    expect(finding?.found).toMatch(/cannot remove .*kept \(EPERM\)/);
    expect(finding?.found).toContain(whole);
    expect(finding?.mend).toBe(`sudo chattr -R -i -a ${whole}`);
    execFileSync('sh', ['-c', finding?.mend?.replace(/^sudo /, '') ?? 'false']);
    await expectUsable(store);
    await expect(lstat(whole)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await store.doctor()).toEqual([]);
  });
});

/** Files in a folder that its owner may not enter any more. */
const makeMany = `busybox mkdir /many && cd /many && busybox touch $(busybox seq 400) && busybox chmod 000 /many`;

describe.each(runcSettings)('a container that goes over layerFiles ($name)', (setting) => {
  it('is ended with a sentence that names the limit, though its files are empty, deep or closed', async () => {
    await using store = await Store.make('files', setting);
    await store.withHost(async (client) => {
      const digest = await install(client, store);
      for (const script of [makeDeep(1), makeMany]) {
        const args = ['/bin/sh', '-c', `${script}\nwhile :; do busybox sleep 1; done`];
        const limits = { layerFiles: 400 };
        const { handle, id } = await client.request('container/create', {
          image: digest,
          args,
          writable: true,
          limits,
        });
        await client.request('container/setRunState', { handle, runState: 'running' });
        await client.request('container/commit', { handle });
        await expect.poll(async () => (await client.request('container/state', { id })).status).toBe('stopped');
        expect((await client.request('container/state', { id })).processes[0]?.message).toBe(
          'Its writable layer held more than its limit of 400 files and folders (limit: layerFiles).',
        );
        await client.request('container/destroy', { id });
      }
      expect(await readdir(store.definitions)).toEqual([]);
    });
  });
});
