// A running container, as the host has it: its pipes, how it is ended, how it ended, and what may be asked of it meanwhile.
import { readdir, readFile } from 'node:fs/promises';
import type { Readable, Writable } from 'node:stream';
import { BabelhostError } from '../../base/errors.ts';
import { countOutOfMemory, readUsage, type ControllerFolders } from '../cgroup/cgroup.ts';
import { containerCgroups } from '../cgroup/placement.ts';
import type { Launched } from './launch.ts';
import type { ContainerId } from '../id.ts';
import { initPath, type ContainerProcess } from '../oci/spec.ts';
import type { BootContext, BootOptions } from './boot-context.ts';
import { removeRemains, type ContainerFiles } from './container-files.ts';
import { executeInContainer, type ExecutedProcess } from './execute.ts';
import { exitOf, type ContainerExit, type End } from './exit.ts';
import { readState, type RuntimeState } from './state.ts';
import { SupervisedProcess, type ExecutionKind } from './supervised-process.ts';

export interface ContainerUsage {
  /** Memory of all its processes, page cache included, in bytes; undefined where no cgroup counts it. */
  readonly memoryBytes: number | undefined;
  /** Processor time used so far, in milliseconds; undefined where no cgroup counts it. */
  readonly cpuMs: number | undefined;
}

export class Container implements AsyncDisposable {
  readonly id: ContainerId;
  /** The host's process id of process 1; 0 if it had ended before it could be asked for. */
  readonly pid: number;
  /** The process's own: writing after its end gives EPIPE to the callback, and is no uncaught error. */
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** How it ended, once every process in it is gone. Never rejects. */
  readonly exited: Promise<ContainerExit>;
  readonly #context: BootContext;
  readonly #options: BootOptions;
  readonly #files: ContainerFiles;
  readonly #cgroups: ControllerFolders;
  readonly #process: SupervisedProcess;
  readonly #removed: Promise<void>;
  /** Why the host ended it, where that was not asked for with `kill`. */
  #cause: Pick<End, 'outOfTime' | 'fault'> = {};

  /** Follows a container that was started to its end, and removes what it leaves. */
  constructor(context: BootContext, options: BootOptions, files: ContainerFiles, launched: Launched) {
    const { id, limits } = options;
    this.id = id;
    this.pid = launched.process.pid;
    this.stdin = launched.stdin;
    this.stdout = launched.stdout;
    this.stderr = launched.stderr;
    this.#context = context;
    this.#options = options;
    this.#files = files;
    this.#cgroups = containerCgroups(context.placement, id);
    this.#process = new SupervisedProcess(context.guard, launched, 'command');
    void launched.channel.fault.then((line) => {
      this.#endForFault(line);
    });
    const endOutOfTime = () => {
      if (this.#process.kill()) this.#cause = { outOfTime: limits.runTimeMs };
    };
    const runTime = limits.runTimeMs === 0 ? undefined : setTimeout(endOutOfTime, limits.runTimeMs);
    // The kernel has killed everything else before the guard can reap process 1.
    this.exited = this.#process.ended.then(async (report) => {
      clearTimeout(runTime);
      const outOfMemory = await this.outOfMemory();
      const exit = exitOf({ report, killed: this.#process.wasKilled(), outOfMemory, ...this.#cause });
      context.logger.debug({ container: id, pid: this.pid, exit }, 'a container has ended');
      return exit;
    });
    this.#removed = this.exited.then(() => removeRemains(context, files, id));
  }

  /** Host process ids of all its processes, process 1 first. Empty when it has ended. */
  async processes(): Promise<number[]> {
    if (this.#process.isReaped() || this.pid === 0) return [];
    const found = [this.pid];
    // Everything in a container descends from its process 1, which adopts orphans; the list grows as it is walked.
    for (const pid of found) found.push(...(await childrenOf(pid)));
    return this.#process.isReaped() ? [] : found;
  }

  /**
   * Its state, as the runtime tells it; undefined when it has ended.
   * @throws BabelhostError `containerFailed` if the runtime does not tell it
   */
  async state(): Promise<RuntimeState | undefined> {
    if (this.#process.isReaped() || this.pid === 0) return undefined;
    try {
      const state = await readState(this.#context, this.#files, this.id, this.pid);
      return this.#process.isReaped() ? undefined : state;
    } catch (error) {
      // Ended meanwhile: the runtime's files of it may be gone, and its id may be another process's.
      if (this.#process.isReaped()) return undefined;
      throw error;
    }
  }

  usage(): Promise<ContainerUsage> {
    return readUsage(this.#cgroups);
  }

  /**
   * The limit on its memory, in bytes, if the kernel has killed any of its processes because all of them together used
   * more than that; undefined if not, where no cgroup counts it, and when it has ended: `exited` tells then.
   */
  async outOfMemory(): Promise<number | undefined> {
    return (await countOutOfMemory(this.#cgroups)) > 0 ? this.#options.limits.memoryBytes : undefined;
  }

  /** Sends a signal to the process and its group. Does nothing when it has ended. */
  signal(signal: number): void {
    this.#process.signal(signal);
  }

  /**
   * Starts a further process in it; resolves when it has been executed.
   * @throws BabelhostError `containerFailed`, also when the container has ended; `timeout`; the signal's reason
   */
  execute(process: ContainerProcess, signal?: AbortSignal): Promise<ExecutedProcess> {
    return this.#execute(process, 'command', signal);
  }

  /**
   * Starts native/init in it, with arguments of its own, as a process by itself: as `execute`, without a process of ours
   * between. Signals do not reach it, but for the SIGKILL of its `kill`.
   * @throws as `execute`
   */
  executeInit(args: readonly string[], user: string, signal?: AbortSignal): Promise<ExecutedProcess> {
    return this.#execute({ args: [initPath, ...args], env: {}, cwd: '/', user }, 'init', signal);
  }

  /** Ends every process in it with SIGKILL. Resolves when they are gone and nothing of it is left. */
  async kill(): Promise<ContainerExit> {
    this.#process.kill();
    await this.#removed;
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #execute(
    process: ContainerProcess,
    kind: ExecutionKind,
    signal: AbortSignal | undefined,
  ): Promise<ExecutedProcess> {
    if (this.#process.isReaped()) {
      const message = `The container ${this.id} has ended: no process can be started in it.`;
      throw new BabelhostError('containerFailed', message, { id: this.id });
    }
    const endForFault = (line: string) => {
      this.#endForFault(line);
    };
    const place = { context: this.#context, options: this.#options, files: this.#files, endForFault };
    return executeInContainer(place, process, kind, signal);
  }

  #endForFault(line: string): void {
    if (this.#process.kill()) this.#cause = { fault: line };
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
