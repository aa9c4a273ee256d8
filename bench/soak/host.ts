// The host that is soaked: a process of its own, on a socket, and what can be measured of it from outside and inside.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { withOwnHost } from '../own-host.ts';
import { program } from '../setting.ts';
import { SoakClient } from './client.ts';

/** The host's memory at a time, in bytes, as process.memoryUsage() has it. */
export interface MemorySample {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Whether it was taken after a collection. */
  readonly collected: boolean;
  readonly rss: number;
  readonly heapTotal: number;
  readonly heapUsed: number;
  readonly external: number;
  readonly arrayBuffers: number;
}

export interface Measure {
  readonly instances: number;
  readonly descriptors: number;
  readonly children: number;
  /** Resident, in bytes. */
  readonly memory: number;
  /** What is alive after a collection, in bytes. */
  readonly alive: number;
}

export class SoakedHost {
  readonly socket: string;
  readonly pid: number;
  /** References of the driver's image in two versions; it was started with the first. */
  readonly images: readonly [string, string];
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown[]>;
  readonly #memoryFile: string;
  readonly #patienceMs: number;
  #watcher: SoakClient | undefined;

  private constructor(
    child: ChildProcess,
    images: readonly [string, string],
    socket: string,
    memoryFile: string,
    patienceMs: number,
  ) {
    this.#child = child;
    this.images = images;
    this.#exited = once(child, 'exit');
    this.pid = child.pid ?? 0;
    this.socket = socket;
    this.#memoryFile = memoryFile;
    this.#patienceMs = patienceMs;
  }

  /** Installs the soak's driver in a root in `folder` and starts a host there. */
  static async start(
    folder: string,
    { options, sampleMs, patienceMs }: { options: readonly string[]; sampleMs: number; patienceMs: number },
  ): Promise<SoakedHost> {
    const root = path.join(folder, 'root');
    const socket = path.join(folder, 'socket');
    const memoryFile = path.join(folder, 'memory');
    const images = await install(root, folder);
    const child = spawn(
      process.execPath,
      [
        ...['--expose-gc', '--import', new URL('preload.ts', import.meta.url).href],
        program,
        ...['serve', '--listen', `unix:${socket}`, '--root', root, '--log-level', 'fatal', ...options],
      ],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, SOAK_MEMORY: memoryFile, SOAK_MEMORY_MS: `${sampleMs}` },
      },
    );
    const host = new SoakedHost(child, images, socket, memoryFile, patienceMs);
    child.stderr.once('data', () => child.stderr.pipe(process.stderr));
    await once(child.stderr, 'data');
    return host;
  }

  /** Asks the host about itself, outside of all books. */
  async ask(method: string): Promise<unknown> {
    this.#watcher ??= await SoakClient.open(this.socket, { sent: 0, doubled: 0 });
    const outcome = await this.#watcher.request(method, {}, this.#patienceMs);
    if (outcome.kind !== 'result') throw new Error(`${method}: ${JSON.stringify(outcome)}`);
    return outcome.result;
  }

  /** The processes in its containers. */
  async driverProcesses(): Promise<number[]> {
    const { instances } = (await this.ask('host/instances')) as { instances: { pids: number[] }[] };
    return instances.flatMap(({ pids }) => pids);
  }

  /** The host once it is at rest, with no more than so many descriptors; or after a time in which it must be. */
  async settled(descriptors: number): Promise<Measure> {
    const until = performance.now() + 60_000;
    for (;;) {
      const now = await this.#measure();
      if ((now.instances <= 1 && now.descriptors <= descriptors) || performance.now() > until) return now;
      await sleep(500);
    }
  }

  /** Its memory over all its life. */
  async memory(): Promise<MemorySample[]> {
    const text = await readFile(this.#memoryFile, 'utf8').catch(() => '');
    return text
      .slice(0, text.lastIndexOf('\n') + 1)
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as MemorySample);
  }

  /** @returns its exit status */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    const [status] = await this.#exited;
    return status as number | null;
  }

  async #measure(): Promise<Measure> {
    const { pools } = (await this.ask('host/status')) as { pools: { instances: number; starting: number }[] };
    const children = await readFile(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8');
    const { rss, heapUsed, external } = await this.#collected();
    return {
      instances: pools.reduce((sum, pool) => sum + pool.instances + pool.starting, 0),
      descriptors: (await readdir(`/proc/${this.pid}/fd`)).length,
      children: children.split(' ').filter(Boolean).length,
      memory: rss,
      alive: heapUsed + external,
    };
  }

  async #collected(): Promise<MemorySample> {
    const collections = async () => (await this.memory()).filter(({ collected }) => collected);
    const before = (await collections()).length;
    process.kill(this.pid, 'SIGUSR2');
    for (;;) {
      const sample = (await collections())[before];
      if (sample !== undefined) return sample;
      await sleep(50);
    }
  }
}

/** @returns the references of the driver's two versions, of which the first is installed */
async function install(root: string, folder: string): Promise<readonly [string, string]> {
  return await withOwnHost(root, async (client) => {
    const build = async (version: string): Promise<string> => {
      const directory = path.join(folder, `driver-${version}`);
      await cp(fileURLToPath(new URL('driver', import.meta.url)), directory, { recursive: true });
      const manifest = path.join(directory, 'manifest.toml');
      await writeFile(manifest, (await readFile(manifest, 'utf8')).replace('version = "1"', `version = "${version}"`));
      const output = `oci:${path.join(folder, 'image')}:${version}`;
      await client.request('image/build', { directory, output });
      return output;
    };
    const images = [await build('1'), await build('2')] as const;
    await client.request('driver/install', { reference: images[0] });
    return images;
  });
}
