// The library's runtime, as Babelfish's was: a root folder with drivers, and containers made for an image and a process.
// For programs that want to run an image themselves; whoever wants trees takes a Host and a Client.
import { mkdir } from 'node:fs/promises';
import { constants } from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  ContainerRuntime,
  newContainerId,
  type Container as BootedContainer,
  type ContainerExit,
  type ContainerId,
  type ContainerOptions,
  type Limits,
} from './container/index.ts';
import { DriverCatalogue, type Driver, type Installed, type InstallOptions } from './drivers/catalogue.ts';
import { BabelhostError } from './errors.ts';
import { defaultRoot } from './host.ts';
import { ImageStore, parseDigest, type ImageConfig, type Lease } from './images/index.ts';
import { silentLogger, type Logger } from './log.ts';

/** What to execute in a container. What is left out is as the image has it. */
export interface Process {
  readonly args?: readonly string[];
  /** Added to the image's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** `user`, `uid`, `user:group`, `uid:gid` …, as the image knows them. */
  readonly user?: string;
  /** An absolute path in the container. */
  readonly cwd?: string;
  /** Where it reads from and writes to; without them, the container's own streams are there to be used. */
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  readonly limits?: Partial<Limits>;
}

/** How a container is configured: everything of it that is not the same for all. */
export type ContainerConfig = Pick<ContainerOptions, 'process' | 'limits' | 'hostname'>;

/** Makes a container's configuration of what the image says and what the process asks for. */
export type ConfigFactory = (image: ImageConfig, process: Process) => ContainerConfig;

/**
 * The configuration factory of a Runtime that is given none: the process's words before the image's, Docker's rules for
 * entry point and command, and the limits of the container room.
 * @throws BabelhostError `containerFailed` where neither names a command
 */
export const defaultConfigFactory: ConfigFactory = (image, process) => {
  const args = process.args ?? [...image.entrypoint, ...image.command];
  if (args.length === 0) {
    throw new BabelhostError('containerFailed', 'The image names no command: give the process its args.', {});
  }
  const own = image.env.map((text): [string, string] => {
    const equals = text.indexOf('=');
    return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
  });
  return {
    process: {
      args,
      env: { ...Object.fromEntries(own), ...process.env },
      cwd: process.cwd ?? (image.workingDirectory === '' ? '/' : image.workingDirectory),
      user: process.user ?? image.user,
    },
    ...(process.limits !== undefined && { limits: process.limits }),
  };
};

export interface RuntimeOptions {
  /** The folder of the store. `defaultRoot()` where it is not given. */
  readonly root?: string;
  /** The OCI runtime: `runc` (the default), `crun`, or a path. */
  readonly runtime?: string;
  readonly configFactory?: ConfigFactory;
  /** Protections that must be fully in force. */
  readonly require?: readonly string[];
  readonly logger?: Logger;
}

export type ContainerStatus = 'created' | 'running' | 'stopped';

/** Images, drivers and containers at one root folder. Disposing of it ends every container. */
export class Runtime implements AsyncDisposable {
  readonly #store: ImageStore;
  readonly #containers: ContainerRuntime;
  readonly #catalogue: DriverCatalogue;
  readonly #configFactory: ConfigFactory;

  private constructor(
    store: ImageStore,
    containers: ContainerRuntime,
    catalogue: DriverCatalogue,
    configFactory: ConfigFactory,
  ) {
    this.#store = store;
    this.#containers = containers;
    this.#catalogue = catalogue;
    this.#configFactory = configFactory;
  }

  /**
   * Opens the root folder, making it where it is not there, and gets ready to start containers.
   * @throws BabelhostError `runtimeMissing`, `containerFailed`, `storageDirty`, `storageFull`
   */
  static async open(options: RuntimeOptions = {}): Promise<Runtime> {
    const root = path.resolve(options.root ?? defaultRoot());
    const { logger = silentLogger(), configFactory = defaultConfigFactory } = options;
    await mkdir(root, { recursive: true, mode: 0o755 });
    const containers = await ContainerRuntime.open({
      directory: path.join(root, 'containers'),
      logger,
      ...(options.runtime !== undefined && { runtime: options.runtime }),
      ...(options.require !== undefined && { require: options.require }),
    });
    const store = await ImageStore.open(root, { logger, owners: containers.owners });
    return new Runtime(store, containers, new DriverCatalogue(root, store, logger), configFactory);
  }

  /** The images of the root folder. */
  get images(): ImageStore {
    return this.#store;
  }

  /**
   * Installs a driver image from a reference such as `docker://registry/name:tag` or `oci:DIR:TAG`.
   * @throws BabelhostError what `driver/install` answers with
   */
  async installDriver(reference: string, options: InstallOptions = {}): Promise<Installed> {
    return await this.#catalogue.install(reference, options);
  }

  /** @throws BabelhostError `storageDirty` */
  async listDrivers(): Promise<Driver[]> {
    return await this.#catalogue.list();
  }

  /** @throws BabelhostError `driverNotInstalled` */
  async removeDriver(language: string): Promise<void> {
    await this.#catalogue.remove(language);
  }

  /**
   * Makes a container for an image of the store and a process. Nothing runs yet, and nothing of it is on the machine.
   * @param image a name, a digest, or the start of a digest
   * @throws BabelhostError `imageNotFound`; what the configuration factory throws
   */
  async container(image: string, process: Process = {}): Promise<Container> {
    const { digest, config } = await this.#store.inspect(image);
    const store = this.#store;
    return new Container(
      this.#containers,
      () => store.lease(parseDigest(digest)),
      this.#configFactory(config, process),
      process,
    );
  }

  /** Ends every container and lets the root folder go. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#containers[Symbol.asyncDispose]();
    await this.#store[Symbol.asyncDispose]();
  }
}

/** A container as a command: started once, and waited for or stopped. */
export class Container implements AsyncDisposable {
  /** A ULID. */
  readonly id: ContainerId = newContainerId();
  readonly config: ContainerConfig;
  readonly #runtime: ContainerRuntime;
  readonly #lease: () => Promise<Lease>;
  readonly #process: Process;
  #started: Promise<BootedContainer> | undefined;
  #status: ContainerStatus = 'created';
  #ended: Promise<ContainerExit> | undefined;

  /** Made by Runtime.container. */
  constructor(runtime: ContainerRuntime, lease: () => Promise<Lease>, config: ContainerConfig, process: Process) {
    this.#runtime = runtime;
    this.#lease = lease;
    this.config = config;
    this.#process = process;
  }

  get status(): ContainerStatus {
    return this.#status;
  }

  /** Host process ids of all that runs in it, its process 1 first; none when it does not run. */
  async processes(): Promise<number[]> {
    return this.#status === 'running' ? await (await this.#booted()).processes() : [];
  }

  /**
   * Starts it; resolves when its command has been executed. A container is started once.
   * @throws BabelhostError `conflict` if it was started before, and what ContainerRuntime.boot throws; the signal's reason
   */
  async start(signal?: AbortSignal): Promise<void> {
    if (this.#started !== undefined) {
      throw new BabelhostError('conflict', `The container ${this.id} was started before: make another one.`, {
        id: this.id,
      });
    }
    this.#started = this.#boot(signal);
    await this.#started;
  }

  /**
   * Waits for its end.
   * @throws BabelhostError `conflict` if it was not started
   */
  async wait(): Promise<ContainerExit> {
    await this.#booted();
    return await (this.#ended as Promise<ContainerExit>);
  }

  /** Starts it and waits for its end; aborting ends it, and rejects with the signal's reason. */
  async run(signal?: AbortSignal): Promise<ContainerExit> {
    await this.start(signal);
    const end = () => {
      void this.kill();
    };
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted === true) end();
    const exit = await this.wait();
    signal?.removeEventListener('abort', end);
    signal?.throwIfAborted();
    return exit;
  }

  /** Ends it: SIGTERM, and SIGKILL after `graceMs` (10,000). Resolves when nothing of it is left. */
  async stop(graceMs = 10_000): Promise<ContainerExit> {
    const booted = await this.#booted();
    booted.signal(constants.signals.SIGTERM);
    const timer = setTimeout(() => void booted.kill(), graceMs);
    const exit = await this.wait();
    clearTimeout(timer);
    return exit;
  }

  /** Sends a signal to its process and the group of that. Does nothing when it has ended. */
  async signal(signal: NodeJS.Signals | number): Promise<void> {
    (await this.#booted()).signal(typeof signal === 'number' ? signal : constants.signals[signal]);
  }

  /** Ends every process in it at once. Resolves when nothing of it is left. */
  async kill(): Promise<void> {
    await (await this.#booted()).kill();
    await this.#ended;
  }

  /** The process's own streams, once it was started; not where the process was given streams to use. */
  async stdio(): Promise<{ readonly stdin: Writable; readonly stdout: Readable; readonly stderr: Readable }> {
    const { stdin, stdout, stderr } = await this.#booted();
    return { stdin, stdout, stderr };
  }

  /** Ends it, if it was started. */
  async [Symbol.asyncDispose](): Promise<void> {
    const booted = await this.#started?.catch(() => undefined);
    await booted?.kill();
    await this.#ended;
  }

  #booted(): Promise<BootedContainer> {
    if (this.#started !== undefined) return this.#started;
    return Promise.reject(
      new BabelhostError('conflict', `The container ${this.id} was not started yet.`, { id: this.id }),
    );
  }

  async #boot(signal: AbortSignal | undefined): Promise<BootedContainer> {
    const lease = await this.#lease();
    try {
      const booted = await this.#runtime.boot({ id: this.id, rootfs: lease.rootfs, ...this.config }, signal);
      this.#status = 'running';
      const { stdin, stdout, stderr } = this.#process;
      // A stream of the caller's that breaks is the caller's to hear of; the container's side of it is closed then.
      const streams = [
        stdin === undefined ? undefined : pipeline(stdin, booted.stdin),
        stdout === undefined ? undefined : pipeline(booted.stdout, stdout, { end: false }),
        stderr === undefined ? undefined : pipeline(booted.stderr, stderr, { end: false }),
      ].map((stream) => stream?.catch(() => undefined));
      this.#ended = booted.exited.then(async (exit) => {
        await booted.kill();
        // What it wrote last is still on its way. What it was to read may never end, and is not waited for.
        for (const stream of streams.slice(1)) await stream;
        await lease.release();
        this.#status = 'stopped';
        return exit;
      });
      return booted;
    } catch (error) {
      await lease.release();
      throw error;
    }
  }
}
