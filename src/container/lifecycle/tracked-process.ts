// A process of a container as clients see it: its main process or a further one, running or ended.
import type { ExecutedProcess } from '../boot/execute.ts';
import type { ContainerExit } from '../boot/exit.ts';
import { OutputLog } from './output-log.ts';

export interface ProcessState {
  readonly id: string;
  readonly main: boolean;
  readonly args: readonly string[];
  readonly status: 'running' | 'exited';
  /** The host's id of babelhost's own process that it runs under. */
  readonly pid: number;
  readonly exitCode?: number;
  /** The signal that ended it. */
  readonly signal?: number;
  /** How it ended, as a sentence. */
  readonly message?: string;
  readonly startedAt: string;
  readonly finishedAt?: string;
}

export class TrackedProcess {
  readonly id: string;
  readonly log: OutputLog;
  /** Resolves when it has ended and its state says how. */
  readonly ended: Promise<void>;
  readonly #process: Omit<ExecutedProcess, 'stdin'>;
  readonly #started: Pick<ProcessState, 'id' | 'main' | 'args' | 'pid' | 'startedAt'>;
  #end: Pick<ProcessState, 'exitCode' | 'signal' | 'message' | 'finishedAt'> | undefined;
  #endReason: string | undefined;

  /** @param logBytes how much of its output is kept */
  constructor(
    { id, main, args }: Pick<ProcessState, 'id' | 'main' | 'args'>,
    process: Omit<ExecutedProcess, 'stdin'>,
    logBytes: number,
  ) {
    this.id = id;
    this.log = new OutputLog(logBytes, process.stdout, process.stderr);
    this.#process = process;
    this.#started = { id, main, args, pid: process.pid, startedAt: new Date().toISOString() };
    this.ended = process.exited.then((exit) => {
      this.#end = {
        message: this.#endReason ?? describe(exit),
        finishedAt: new Date().toISOString(),
        ...(exit.reason === 'exited' && { exitCode: exit.code }),
        ...(exit.reason === 'signaled' && { signal: exit.signal }),
      };
    });
  }

  get running(): boolean {
    return this.#end === undefined;
  }

  get state(): ProcessState {
    return { ...this.#started, status: this.running ? 'running' : 'exited', ...this.#end };
  }

  /** Sets the message of its end, before it is ended from outside. The first reason counts. */
  setEndReason(reason: string): void {
    this.#endReason ??= reason;
  }

  signal(signal: number): void {
    this.#process.signal(signal);
  }

  /** Ends it with SIGKILL, whatever the container's processes do to it; the main process with the container. */
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
