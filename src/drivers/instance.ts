// An instance: one running driver, from its start to its end. A driver that does not come back within the grace time,
// whose output cannot be understood, or whose memory is used up, is ended. What is said to it and what it answers is a
// conversation's.
import { BabelhostError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { Conversation } from './conversation.ts';
import { describeExit, type Guest, type GuestExit } from './guest.ts';
import type { AnswerLimits, NativeAnswer } from './native-protocol.ts';
import { StandardErrorLog } from './standard-error.ts';
import type { InstanceRequest } from './written-request.ts';

export type InstanceState = 'idle' | 'busy' | 'draining' | 'ended';

export interface InstanceOptions {
  readonly language: string;
  readonly digest: string;
  readonly limits: AnswerLimits;
  /** Whether the driver returns the id of each request with its answer. */
  readonly requestIds?: boolean;
  /** Whether it may be written a request before it has answered the last. Only where it returns ids. */
  readonly pipelining?: boolean;
  /** Whether what the driver writes to its stderr is logged, and not only how much. */
  readonly logStderr?: boolean;
  /** How long a driver may take to come back after its request was given up, in milliseconds. */
  readonly graceMs: number;
  readonly logger: Logger;
  /** Called when it has answered and takes another request. */
  readonly onFree: (instance: Instance) => void;
}

/** How often a driver that is at a request is asked whether its memory was used up. */
const memoryCheckMs = 500;

export class Instance {
  readonly id: string;
  readonly language: string;
  readonly digest: string;
  readonly pid: number;
  readonly startedAt = performance.now();
  /** Resolves when the driver has ended and nothing of its container is left. Never rejects. */
  readonly ended: Promise<GuestExit>;
  readonly #guest: Guest;
  readonly #options: InstanceOptions;
  readonly #stderr: StandardErrorLog;
  readonly #conversation: Conversation;
  #retiring = false;
  #endedByHost = false;
  #outputHasEnded = false;
  #memoryBytes = 0;
  #memoryTimer: NodeJS.Timeout | undefined;

  constructor(guest: Guest, options: InstanceOptions) {
    this.id = guest.id;
    this.pid = guest.pid;
    this.language = options.language;
    this.digest = options.digest;
    this.#guest = guest;
    this.#options = options;
    const logger = options.logger.child({ instance: guest.id });
    this.#stderr = new StandardErrorLog(guest.stderr, logger, options.logStderr ?? false);
    const { limits, requestIds = false, pipelining = false, graceMs } = options;
    this.#conversation = new Conversation(guest.stdin, guest.stdout, {
      limits,
      requestIds,
      pipelining,
      graceMs,
      onBusy: () => {
        this.#watchMemory();
      },
      onAnswered: () => {
        if (this.#retiring && this.state === 'idle') this.#end(undefined);
        else if (this.state === 'idle' || this.hasRoomBehind) options.onFree(this);
      },
      onFault: (fault) => {
        this.#end(fault);
      },
      onStuck: () => {
        this.#stuck();
      },
    });
    // EPIPE and the like: the driver has ended or closed its pipe; its end tells the request.
    guest.stdin.on('error', () => undefined);
    guest.stdout.on('error', () => undefined);
    guest.stdout.once('end', () => {
      this.#outputEnded();
    });
    this.ended = guest.exited.then(async (exit) => {
      await this.#guest.kill();
      this.#finish(exit);
      return exit;
    });
  }

  get state(): InstanceState {
    return this.#conversation.state;
  }

  /** Requests written to the driver so far. */
  get requests(): number {
    return this.#conversation.requests;
  }

  /** Answers that came and could be understood: whether the driver has ever worked. */
  get answered(): number {
    return this.#conversation.answered;
  }

  /** Whether a request may be written behind the one that the driver is at. */
  get hasRoomBehind(): boolean {
    return this.#conversation.hasRoomBehind && !this.#retiring;
  }

  /** Whether it takes no more requests and ends as soon as it has none. */
  get retiring(): boolean {
    return this.#retiring;
  }

  /** Whether it was told to end, by the pool or a person, rather than died or was ended for what it did. */
  get endedByHost(): boolean {
    return this.#endedByHost;
  }

  /** Memory of its container when it was last measured, in bytes; 0 before that, or where nothing counts it. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** Measures what it uses now, and the host's ids of its processes. */
  async measure(): Promise<{ memoryBytes?: number; cpuMs?: number; pids: readonly number[] }> {
    const [usage, pids] = await Promise.all([this.#guest.usage(), this.#guest.processes()]);
    this.#memoryBytes = usage.memoryBytes ?? 0;
    return {
      pids,
      ...(usage.memoryBytes !== undefined && { memoryBytes: usage.memoryBytes }),
      ...(usage.cpuMs !== undefined && { cpuMs: usage.cpuMs }),
    };
  }

  /** Ends it as soon as it has nothing to do. */
  retire(): void {
    this.#retiring = true;
    if (this.state === 'idle') this.#end(undefined);
  }

  /** What the driver wrote to its stderr last, bounded. */
  get stderrTail(): string {
    return this.#stderr.tail;
  }

  /**
   * Writes a request and waits for its answer. Only an idle instance takes one, or one that has room behind another.
   * Aborting and the deadline reject at once; the driver then has the grace time to finish.
   * @throws BabelhostError `timeout`, `driverCrashed`, `driverProtocol`, `responseTooLarge`; CancelledError; DisplacedError
   * for one that was written behind another
   */
  request(request: InstanceRequest): Promise<NativeAnswer> {
    if (this.state !== 'idle' && !this.hasRoomBehind) {
      return Promise.reject(new Error(`instance ${this.id} is ${this.state} and takes no request`));
    }
    return this.#conversation.request(request);
  }

  /** Ends the driver; a request in flight fails with `driverCrashed`. Resolves when nothing of it is left. */
  async end(): Promise<void> {
    this.#endedByHost = true;
    this.#end(undefined);
    await this.ended;
  }

  /**
   * A driver whose child the kernel has ended for want of memory may wait for it for ever: it is ended, and told why. One
   * timer serves all requests that follow each other: it stops where it finds the driver without one.
   */
  #watchMemory(): void {
    this.#memoryTimer ??= setInterval(() => {
      if (this.state === 'busy' || this.state === 'draining') {
        void this.#checkMemory();
      } else {
        clearInterval(this.#memoryTimer);
        this.#memoryTimer = undefined;
      }
    }, memoryCheckMs);
  }

  async #checkMemory(): Promise<void> {
    if ((await this.#guest.outOfMemory()) !== undefined) this.#end(undefined);
  }

  /** Without its output a driver is of no use. Mostly it is about to exit: how it did is worth a moment's wait. */
  #outputEnded(): void {
    if (this.state === 'ended') return;
    this.#outputHasEnded = true;
    this.#conversation.drain();
  }

  /** It was given the grace time to come back, or to end, and it has not. */
  #stuck(): void {
    if (!this.#outputHasEnded) {
      this.#options.logger.warn(
        { instance: this.id, language: this.language, graceMs: this.#options.graceMs },
        'the driver did not come back after its request was given up; ending it',
      );
      this.#end(undefined);
      return;
    }
    const reason = 'it closed its output and did not exit';
    this.#end(
      new BabelhostError('driverCrashed', `The ${this.language} driver ended before it answered: ${reason}.`, {
        language: this.language,
        instance: this.id,
        reason,
      }),
    );
  }

  /** Begins the end: nothing more is read from the driver; with a fault, its request fails now. */
  #end(fault: BabelhostError | undefined): void {
    if (this.state === 'ended') return;
    if (fault !== undefined) {
      this.#options.logger.warn(
        { instance: this.id, language: this.language, kind: fault.kind, ...fault.data },
        fault.message,
      );
    }
    this.#conversation.end(fault);
    void this.#guest.kill();
  }

  /** The driver is gone: tells the request that it had, with how it ended and its last words. */
  #finish(exit: GuestExit): void {
    clearInterval(this.#memoryTimer);
    const { tail } = this.#stderr;
    this.#conversation.end(
      new BabelhostError(
        'driverCrashed',
        `The ${this.language} driver ended before it answered: ${describeExit(exit)}.`,
        {
          language: this.language,
          instance: this.id,
          exit,
          ...(tail !== '' && { stderr: tail }),
        },
      ),
    );
  }
}
