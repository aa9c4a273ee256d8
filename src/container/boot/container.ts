// A running container, as the host has it: its pipes, its end, and what may be asked of it meanwhile.
import { readdir, readFile } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { BabelhostError } from '../../base/errors.ts';
import { countOutOfMemory, readUsage, type ContainerCgroups } from '../cgroup/cgroup.ts';
import type { ExecutedProcess, ExecutionKind } from './execute.ts';
import type { ContainerExit } from './exit.ts';
import type { ContainerId } from '../id.ts';
import { initPath, type ContainerProcess } from '../oci/spec.ts';

export interface ContainerUsage {
  /** Memory of all its processes, page cache included, in bytes; undefined where no cgroup counts it. */
  readonly memoryBytes: number | undefined;
  /** Processor time used so far, in milliseconds; undefined where no cgroup counts it. */
  readonly cpuMs: number | undefined;
}

export interface Container extends AsyncDisposable {
  readonly id: ContainerId;
  /** The host's process id of process 1; 0 if it had ended before it could be asked for. */
  readonly pid: number;
  /** The process's own: writing after its end gives EPIPE to the callback, and is no uncaught error. */
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** How it ended, once every process in it is gone. Never rejects. */
  readonly exited: Promise<ContainerExit>;
  /** Host process ids of all its processes, process 1 first. Empty when it has ended. */
  processes(): Promise<number[]>;
  usage(): Promise<ContainerUsage>;
  /**
   * The limit on its memory, in bytes, if the kernel has ended any of its processes because all of them together used
   * more than that; undefined if not, where no cgroup counts it, and when it has ended: `exited` tells then.
   */
  outOfMemory(): Promise<number | undefined>;
  /** Sends a signal to the process and its group. Does nothing when it has ended. */
  signal(signal: number): void;
  /**
   * Starts a further process in it; resolves when it has been executed.
   * @throws BabelhostError `containerFailed`, also when the container has ended; `timeout`; the signal's reason
   */
  execute(process: ContainerProcess & { readonly user: string }, signal?: AbortSignal): Promise<ExecutedProcess>;
  /**
   * Starts native/init in it, with arguments of its own, as a process by itself: as `execute`, without a process of ours
   * between. Signals do not reach it, but for the SIGKILL of its `kill`.
   * @throws as `execute`
   */
  executeInit(args: readonly string[], user: string, signal?: AbortSignal): Promise<ExecutedProcess>;
  /** Ends every process in it with SIGKILL. Resolves when they are gone and nothing of it is left. */
  kill(): Promise<ContainerExit>;
}

/** What a container is made of, as `boot` has it. */
export interface ContainerParts {
  readonly id: ContainerId;
  readonly pid: number;
  readonly cgroups: ContainerCgroups;
  readonly memoryBytes: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<ContainerExit>;
  readonly removed: Promise<void>;
  readonly signal: (signal: number) => void;
  readonly execute: (
    process: ContainerProcess & { readonly user: string },
    kind: ExecutionKind,
    signal: AbortSignal | undefined,
  ) => Promise<ExecutedProcess>;
  readonly end: () => void;
}

export class RunningContainer implements Container {
  readonly id: ContainerId;
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exited: Promise<ContainerExit>;
  readonly #parts: ContainerParts;
  #ended = false;

  constructor(parts: ContainerParts) {
    this.id = parts.id;
    this.pid = parts.pid;
    this.stdin = parts.stdin;
    this.stdout = parts.stdout;
    this.stderr = parts.stderr;
    this.exited = parts.exited;
    this.#parts = parts;
    void this.exited.then(() => {
      this.#ended = true;
    });
  }

  async processes(): Promise<number[]> {
    if (this.#ended || this.pid === 0) return [];
    const found = [this.pid];
    // Everything in a container descends from its process 1, which adopts orphans; the list grows as it is walked.
    for (const pid of found) found.push(...(await childrenOf(pid)));
    return this.#hasEnded() ? [] : found;
  }

  usage(): Promise<ContainerUsage> {
    return readUsage(this.#parts.cgroups);
  }

  async outOfMemory(): Promise<number | undefined> {
    return (await countOutOfMemory(this.#parts.cgroups)) > 0 ? this.#parts.memoryBytes : undefined;
  }

  signal(signal: number): void {
    if (!this.#ended) this.#parts.signal(signal);
  }

  async execute(...[process, signal]: Parameters<Container['execute']>): Promise<ExecutedProcess> {
    return this.#execute(process, 'command', signal);
  }

  async executeInit(...[args, user, signal]: Parameters<Container['executeInit']>): Promise<ExecutedProcess> {
    return this.#execute({ args: [initPath, ...args], env: {}, cwd: '/', user }, 'init', signal);
  }

  async kill(): Promise<ContainerExit> {
    this.#parts.end();
    const exit = await this.exited;
    await this.#parts.removed;
    return exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #execute(...[process, kind, signal]: Parameters<ContainerParts['execute']>): Promise<ExecutedProcess> {
    if (this.#ended) {
      const message = `The container ${this.id} has ended: no process can be started in it.`;
      throw new BabelhostError('containerFailed', message, { id: this.id });
    }
    return this.#parts.execute(process, kind, signal);
  }

  /** As a call, because the compiler takes a field to be what it was before an await. */
  #hasEnded(): boolean {
    return this.#ended;
  }
}

/** The children of a process (proc_pid_task(5)): each thread's own. Empty if it is gone. */
export async function childrenOf(pid: number): Promise<number[]> {
  try {
    // A child belongs to the thread that forked it, and process 1 of ours has one thread; others may have more.
    const threads = await readdir(`/proc/${pid}/task`);
    const lists = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/children`, 'utf8')));
    return lists.flatMap((list) => list.split(' ').filter(Boolean).map(Number));
  } catch {
    return [];
  }
}
