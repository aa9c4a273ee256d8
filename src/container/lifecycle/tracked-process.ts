// A process of a container as clients see it: its main process or a further one, running or ended.
import type { ContainerExit } from '../boot/exit.ts';
import type { OutputLog } from './output-log.ts';

export interface ProcessState {
  readonly id: string;
  readonly main: boolean;
  readonly args: readonly string[];
  readonly status: 'running' | 'exited';
  /** The host's id of the process of ours that it runs under. */
  readonly pid: number;
  readonly exitCode?: number;
  /** The signal that ended it. */
  readonly signal?: number;
  /** How it ended, as a sentence. */
  readonly message?: string;
  readonly startedAt: string;
  readonly finishedAt?: string;
}

/** The parts of a process that the lifecycle follows. */
interface Followed {
  readonly pid: number;
  readonly exited: Promise<ContainerExit>;
  signal(signal: number): void;
  kill(): Promise<unknown>;
}

export class TrackedProcess {
  readonly id: string;
  readonly log: OutputLog;
  /** Resolves when it has ended and its state says how. */
  readonly ended: Promise<void>;
  readonly #process: Followed;
  readonly #main: boolean;
  readonly #args: readonly string[];
  readonly #startedAt = new Date();
  #end: { readonly exit: ContainerExit; readonly at: Date; readonly message: string } | undefined;
  #endedBecause: string | undefined;

  constructor(id: string, main: boolean, args: readonly string[], process: Followed, log: OutputLog) {
    this.id = id;
    this.log = log;
    this.#main = main;
    this.#args = args;
    this.#process = process;
    this.ended = process.exited.then((exit) => {
      this.#end = { exit, at: new Date(), message: this.#endedBecause ?? describe(exit) };
    });
  }

  get running(): boolean {
    return this.#end === undefined;
  }

  get state(): ProcessState {
    const end = this.#end;
    return {
      id: this.id,
      main: this.#main,
      args: this.#args,
      status: end === undefined ? 'running' : 'exited',
      pid: this.#process.pid,
      startedAt: this.#startedAt.toISOString(),
      ...(end !== undefined && {
        message: end.message,
        finishedAt: end.at.toISOString(),
        ...(end.exit.reason === 'exited' && { exitCode: end.exit.code }),
        ...(end.exit.reason === 'signaled' && { signal: end.exit.signal }),
      }),
    };
  }

  /** Says why it is about to be ended from outside: that is the message of its end. */
  blame(reason: string): void {
    this.#endedBecause ??= reason;
  }

  signal(signal: number): void {
    this.#process.signal(signal);
  }

  /** Ends it with SIGKILL, whatever the container's processes do to it; a container's main process, with the container. */
  kill(): void {
    void this.#process.kill();
  }
}

function describe(exit: ContainerExit): string {
  switch (exit.reason) {
    case 'exited':
      return exit.outOfMemoryBytes === undefined
        ? `It exited with status ${exit.code}.`
        : `It exited with status ${exit.code}. One of the container's processes was ended before because they used more memory than their limit of ${exit.outOfMemoryBytes} bytes (limit: memoryBytes).`;
    case 'signaled':
      return `It was ended by signal ${exit.signal}.`;
    case 'outOfMemory':
      return `It used more memory than its limit of ${exit.limitBytes} bytes (limit: memoryBytes).`;
    case 'outOfTime':
      return `It had run for as long as it may, ${exit.limitMs} ms (limit: runTimeMs).`;
    case 'protocolFault':
      return `One of its processes wrote '${exit.line}' in the place of babelhost's own, and it was ended.`;
    case 'killed':
      return 'It was ended from outside, or with its container.';
  }
}
