// A container of the library's runtime.
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { ContainerConfig, Process } from './process.ts';
import {
  newContainerId,
  type Container as BootedContainer,
  type ContainerExit,
  type ContainerId,
  type ContainerRuntime,
  type RuntimeState,
} from '../container/index.ts';
import { BabelhostError } from '../base/errors.ts';
import type { Lease } from '../images/index.ts';

export type ContainerStatus = 'created' | 'running' | 'stopped';

/** The state of a container. What only the runtime knows is there while the container runs. */
export type ContainerState = { readonly id: ContainerId } & (
  { readonly status: Exclude<ContainerStatus, 'running'> } | RuntimeState
);

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

  /**
   * Its OCI state, with the paths of its cgroups and namespaces, as its runtime tells it; before it runs and when it has
   * ended, no runtime knows it.
   * @throws BabelhostError `containerFailed` if the runtime does not tell it
   */
  async state(): Promise<ContainerState> {
    const told = this.#status === 'running' ? await (await this.#booted()).state() : undefined;
    if (told !== undefined) return { id: this.id, ...told };
    return { id: this.id, status: this.#status === 'created' ? 'created' : 'stopped' };
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
      // An error of the caller's stream is the caller's to handle; pipeline closes the container's side.
      const streams = [
        stdin === undefined ? undefined : pipeline(stdin, booted.stdin),
        stdout === undefined ? undefined : pipeline(booted.stdout, stdout, { end: false }),
        stderr === undefined ? undefined : pipeline(booted.stderr, stderr, { end: false }),
      ].map((stream) => stream?.catch(() => undefined));
      this.#ended = booted.exited.then(async (exit) => {
        await booted.kill();
        // Its last output is still on its way. Its input may never end, and is not waited for.
        for (const stream of streams.slice(1)) await stream;
        await lease.release();
        this.#status = 'stopped';
        return exit;
      });
      return booted;
    } catch (error) {
      this.#status = 'stopped';
      await lease.release();
      throw error;
    }
  }
}
