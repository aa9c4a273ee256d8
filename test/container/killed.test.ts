// A host killed with SIGKILL at random instants of a boot, a parse, a commit, a copy and a stop: within two seconds
// nothing of it is left on the machine, and another host on the same store has noticed nothing. The instants come from a
// seed, which the test's name has: BABELHOST_TEST_SEED tries the same again.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../src/protocol/client.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { ordinaryId } from '../support/ordinary-user.ts';
import { mainProgram } from '../support/served-host.ts';
import { stormOf } from '../support/storm.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';
import { inSetting, runcSettings } from './settings.ts';

/** How many instants of each kind, with root and without. */
const instants = stormOf(3, 20);
const seed = Number(process.env['BABELHOST_TEST_SEED'] ?? Date.now() % 2 ** 31);
/** Hosts that are started, killed and looked for together. */
const atOnce = 5;

interface ServingHost {
  readonly client: Client;
  readonly child: ChildProcess;
}

/** What a host is killed in: brought near by `prepare`, and begun by what that returns. It takes about `spanMs`. */
interface Kind {
  readonly name: string;
  readonly spanMs: number;
  readonly prepare: (host: ServingHost, image: string) => Promise<() => Promise<unknown>>;
}

const endless = ['/bin/sh', '-c', 'trap "busybox sleep 0.03; exit" TERM; while :; do busybox sleep 1 & wait; done'];

async function createContainer({ client }: ServingHost, image: string): Promise<{ id: string; handle: string }> {
  const created = await client.request('container/create', { image, args: endless, writable: true });
  await client.request('container/setRunState', { handle: created.handle, runState: 'running' });
  return created;
}

async function startContainer(host: ServingHost, image: string): Promise<string> {
  const { id, handle } = await createContainer(host, image);
  await host.client.request('container/commit', { handle });
  return id;
}

const parse = ({ client }: ServingHost) => client.request('parse', { language: 'toy', content: 'x' });
const files = Array.from({ length: 4 }, (_, index) => ({
  path: `/file-${index}`,
  content: 'a line of text\n'.repeat(50_000),
}));

const kinds: readonly Kind[] = [
  { name: 'boot', spanMs: 150, prepare: (host) => Promise.resolve(() => parse(host)) },
  {
    name: 'parse',
    spanMs: 60,
    prepare: async (host) => {
      await parse(host);
      return () => Promise.all([parse(host), parse(host)]);
    },
  },
  {
    name: 'commit',
    spanMs: 200,
    prepare: async (host, image) => {
      const { handle } = await createContainer(host, image);
      await host.client.request('container/copyTo', { handle, files });
      return () => host.client.request('container/commit', { handle });
    },
  },
  {
    name: 'copy',
    spanMs: 100,
    prepare: async (host, image) => {
      const { handle } = await host.client.request('container/handle', { id: await startContainer(host, image) });
      await host.client.request('container/copyTo', { handle, files });
      return () => host.client.request('container/commit', { handle });
    },
  },
  {
    name: 'stop',
    spanMs: 100,
    prepare: async (host, image) => {
      const { handle } = await host.client.request('container/handle', { id: await startContainer(host, image) });
      await host.client.request('container/setRunState', { handle, runState: 'stopped' });
      return () => host.client.request('container/commit', { handle });
    },
  },
];

/** Every instant of every kind, in an order that mixes the kinds. */
function planned(): { readonly kind: Kind; readonly delayMs: number }[] {
  const fractions = fc.sample(fc.double({ min: 0, max: 1, noNaN: true }), { seed, numRuns: instants * kinds.length });
  return fractions.flatMap((fraction, index) => {
    const kind = kinds[index % kinds.length];
    return kind === undefined ? [] : [{ kind, delayMs: fraction * kind.spanMs }];
  });
}

describe.each(runcSettings.filter(({ user }) => user === 'root' || user === 'granted'))(
  'hosts that are killed ($name)',
  (setting) => {
    let folder: string;
    let root: string;
    let survivor: ServingHost;
    let image: string;
    let survivingContainer: string;

    /** Starts a host on the store. */
    function serve(): ServingHost {
      const [command, ...args] = inSetting(setting, [
        process.execPath,
        mainProgram,
        'serve',
        '--stdio',
        '--log-level',
        'warn',
        '--root',
        root,
      ]);
      const child = spawn(command, args, {
        stdio: ['pipe', 'pipe', 'inherit'],
        // Starting a host is most of what this test costs; compiled once, it is a third of that.
        env: { ...process.env, NODE_COMPILE_CACHE: path.join(folder, 'compiled') },
      });
      child.stdin.on('error', () => undefined);
      return { child, client: new Client(child.stdout, child.stdin) };
    }

    beforeAll(async () => {
      folder = await makeTemporaryFolder();
      root = path.join(folder, 'root');
      const reference = await buildScriptDriver(folder, {
        language: 'toy',
        script: `while read -r line; do busybox sleep 0.03; echo '{"status":"ok","ast":{}}'; done`,
      });
      await mkdir(root);
      await mkdir(path.join(folder, 'compiled'));
      if (setting.user !== 'root') await chown(root, ordinaryId, ordinaryId);
      await chmod(path.join(folder, 'compiled'), 0o777);
      survivor = serve();
      image = (await survivor.client.request('driver/install', { reference })).driver.digest;
      await parse(survivor);
      survivingContainer = await startContainer(survivor, image);
    });

    afterAll(async () => {
      await survivor.client.request('shutdown', {});
      await survivor.client.notify('exit');
      if (survivor.child.exitCode === null) await once(survivor.child, 'exit');
      survivor.client[Symbol.dispose]();
      await removeFolder(folder);
    });

    it(`leave nothing, at ${instants} instants of each kind (seed ${seed})`, async () => {
      const before = new Set(await traces(root));
      expect([...before].join('\n')).toMatch(/process[^]*folder/);
      const state = () => survivor.client.request('container/state', { id: survivingContainer });
      const stateBefore = await state();
      const inFlight = new Map<string, number>();
      let slowest = 0;
      const plan = planned();
      for (let start = 0; start < plan.length; start += atOnce) {
        const batch = plan.slice(start, start + atOnce);
        const hosts = await Promise.all(
          batch.map(async ({ kind, delayMs }) => {
            const host = serve();
            return { host, kind, delayMs, begin: await kind.prepare(host, image) };
          }),
        );
        await Promise.all(
          hosts.map(async ({ host, kind, delayMs, begin }) => {
            const progress = { done: false };
            const work = begin().then(
              () => (progress.done = true),
              () => undefined,
            );
            await new Promise((resolve) => setTimeout(resolve, delayMs));
            if (!progress.done) inFlight.set(kind.name, (inFlight.get(kind.name) ?? 0) + 1);
            const ended = once(host.child, 'exit');
            host.child.kill('SIGKILL');
            await ended;
            host.client[Symbol.dispose]();
            await work;
          }),
        );
        const killedAt = performance.now();
        let left: string[];
        do left = (await traces(root)).filter((trace) => !before.has(trace));
        while (left.length > 0 && performance.now() - killedAt < 2000);
        const what = batch.map(({ kind, delayMs }) => `${kind.name} after ${delayMs.toFixed(1)} ms`).join(', ');
        expect(left, `left of ${what}`).toEqual([]);
        slowest = Math.max(slowest, performance.now() - killedAt);
      }
      // Killed in the midst of it, and not always before or after.
      for (const { name } of kinds) expect(inFlight.get(name), name).toBeGreaterThan(0);
      process.stderr.write(
        `${setting.name}: ${plan.length} hosts killed with seed ${seed}, ${[...inFlight].map(([name, count]) => `${count} in a ${name}`).join(', ')}; the last trace was gone after ${slowest.toFixed(0)} ms\n`,
      );
      expect(await state()).toEqual(stateBefore);
      expect(await parse(survivor)).toMatchObject({ status: 'ok' });
      expect(new Set(await traces(root))).toEqual(before);
    });

    it('leave containers that are whole: stopped, and gone with all they wrote when they are destroyed', async () => {
      const { containers } = await survivor.client.request('container/list', {});
      const others = containers.filter(({ id }) => id !== survivingContainer);
      expect(others.length).toBeGreaterThanOrEqual(instants);
      for (const { id, status } of others) {
        expect(status).toBe('stopped');
        const config = await survivor.client.request('container/config', { id });
        expect(config.entryPoint.args).toEqual(endless);
        await survivor.client.request('container/destroy', { id });
      }
      // A next host has removed what was half made, or one that starts now does.
      const next = serve();
      await next.client.request('host/info', {});
      expect(await readdir(path.join(root, 'container-definitions'))).toEqual([survivingContainer]);
      await next.client.request('shutdown', {});
      await next.client.notify('exit');
      if (next.child.exitCode === null) await once(next.child, 'exit');
      next.client[Symbol.dispose]();
    });
  },
);

/**
 * Everything on this machine that names the store: hosts by their command lines; processes in any container or namespace
 * by the mounts that they see; and hosts' folders, with the cgroups and sockets of the same names.
 */
async function traces(root: string): Promise<string[]> {
  const found: string[] = [];
  const read = (file: string) => readFile(file, 'utf8').catch(() => '');
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  await Promise.all(
    pids.map(async (pid) => {
      const [command, mounts] = await Promise.all([read(`/proc/${pid}/cmdline`), read(`/proc/${pid}/mountinfo`)]);
      if (command.includes(root)) found.push(`process ${pid}: ${command.replaceAll('\0', ' ')}`);
      else if (mounts.includes(root)) found.push(`process ${pid}, which sees mounts: ${command.replaceAll('\0', ' ')}`);
    }),
  );
  const folders = await readdir(path.join(root, 'containers')).catch(() => []);
  found.push(...folders.map((name) => `folder ${name}`));
  for (const name of folders) seenFolders.add(`babelhost-${name}`);
  for (const hierarchy of ['', ...(await readdir('/sys/fs/cgroup'))]) {
    const names = await readdir(path.join('/sys/fs/cgroup', hierarchy)).catch(() => []);
    for (const name of names.filter((each) => seenFolders.has(each))) found.push(`cgroup ${hierarchy}/${name}`);
  }
  const sockets = (await read('/proc/net/unix')).split('\n').filter((line) => line.includes(root));
  found.push(...sockets.map((line) => `socket ${line}`));
  return found;
}

/** The names of the cgroups of all hosts whose folders were seen: they are to go with them. */
const seenFolders = new Set<string>();
