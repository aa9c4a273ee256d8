// An instance: one running driver, which takes one request at a time. It keeps answers and requests together for
// certain: an answer that comes after its request was given up is read and dropped before the next request is written,
// and a driver that does not come back within the grace time, or whose output cannot be understood, is ended. Where the
// driver returns the ids of requests, an answer that it made up or wrote twice is told from the one that was asked for.
import { BabelhostError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Cancellation } from './cancellation.ts';
import { DeadlineTimer } from './deadline-timer.ts';
import { describeExit, type Guest, type GuestExit } from './guest.ts';
import { AnswerReader, withId, type AnswerLimits, type NativeAnswer } from './native-protocol.ts';
import { CancelledError, timeoutError, type RequestTiming } from './request.ts';
import { StandardErrorLog } from './standard-error.ts';

export type InstanceState = 'idle' | 'busy' | 'draining' | 'ended';

export interface InstanceOptions {
  readonly language: string;
  readonly digest: string;
  readonly limits: AnswerLimits;
  /** Whether the driver returns the id of each request with its answer. */
  readonly requestIds?: boolean;
  /** Whether what the driver writes to its stderr is logged, and not only how much. */
  readonly logStderr?: boolean;
  /** How long a driver may take to come back after its request was given up, in milliseconds. */
  readonly graceMs: number;
  readonly logger: Logger;
  /** Called after each change of state. */
  readonly onStateChange: (instance: Instance) => void;
}

interface Pending {
  readonly reader: AnswerReader;
  readonly timeoutMs: number;
  /** What was asked. Its memory is freed with the answer's, when nobody needs either any more. */
  readonly line: Buffer;
  /** Undefined once the client has had its answer: the driver's is then read and dropped. */
  settle: { resolve: (answer: NativeAnswer) => void; reject: (error: Error) => void } | undefined;
  /** To be called when it is settled. */
  readonly settled: () => void;
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
  #state: InstanceState = 'idle';
  #pending: Pending | undefined;
  readonly #deadline = new DeadlineTimer(() => {
    this.#giveUp(timeoutError(this.#pending?.timeoutMs ?? 0, 'being parsed'));
  });
  #graceTimer: NodeJS.Timeout | undefined;
  #requests = 0;
  #answered = 0;
  #retiring = false;
  #endedByHost = false;
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
    guest.stdout.on('data', (chunk: Buffer) => {
      this.#receive(chunk);
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
    return this.#state;
  }

  /** Requests written to the driver so far. */
  get requests(): number {
    return this.#requests;
  }

  /** Answers that came and could be understood: whether the driver has ever worked. */
  get answered(): number {
    return this.#answered;
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
    if (this.#state === 'idle') this.#end(undefined);
  }

  /** What the driver wrote to its stderr last, bounded. */
  get stderrTail(): string {
    return this.#stderr.tail;
  }

  /**
   * Writes a request and waits for its answer. Only an idle instance takes one.
   * Aborting and the deadline reject at once; the driver then has the grace time to finish.
   * @param line a request as encodeRequest makes it
   * @param timing the deadline in milliseconds of performance.now(), and the time allowed in all, for the message
   * @throws BabelhostError `timeout`, `driverCrashed`, `driverProtocol`, `responseTooLarge`; CancelledError
   */
  request(line: Buffer, timing: RequestTiming, signal?: Cancellation): Promise<NativeAnswer> {
    if (this.#state !== 'idle') return Promise.reject(new Error(`instance ${this.id} is ${this.#state}, not idle`));
    if (signal?.aborted === true) return Promise.reject(new CancelledError());
    this.#requests += 1;
    const id = this.#options.requestIds === true ? String(this.#requests) : undefined;
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#giveUp(new CancelledError());
      };
      this.#pending = {
        reader: new AnswerReader(this.#options.limits, id),
        timeoutMs: timing.timeoutMs,
        line,
        settle: { resolve, reject },
        settled: () => {
          this.#deadline.met();
          signal?.removeEventListener('abort', abort);
        },
      };
      this.#become('busy');
      this.#deadline.set(timing.deadline);
      this.#watchMemory();
      signal?.addEventListener('abort', abort, { once: true });
      this.#guest.stdin.write(id === undefined ? line : withId(line, id));
    });
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
      if (this.#state === 'busy' || this.#state === 'draining') {
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

  #receive(chunk: Buffer): void {
    if (this.#state === 'ended') return;
    const pending = this.#pending;
    if (pending === undefined) {
      this.#end(
        new BabelhostError(
          'driverProtocol',
          'The driver wrote an answer that nothing had been asked for; it was ended.',
          {
            reason: 'unsolicited output',
            offset: 0,
          },
        ),
      );
      return;
    }
    let answer: NativeAnswer | undefined;
    try {
      answer = pending.reader.feed(chunk);
    } catch (error) {
      if (!(error instanceof BabelhostError)) throw error;
      this.#end(error);
      return;
    }
    if (answer === undefined) return;
    this.#pending = undefined;
    // Before the next request can come, whose deadline would else be taken for this one's.
    if (pending.settle !== undefined) pending.settled();
    clearTimeout(this.#graceTimer);
    this.#answered += 1;
    // First free, then answered: whoever is told of the answer may at once send the next request.
    if (this.#retiring) this.#end(undefined);
    else this.#become('idle');
    if (pending.settle === undefined) answer.memory?.free();
    else {
      // A driver may answer before it has read everything: the kernel then still needs the line.
      if (this.#guest.stdin.writableLength === 0) answer.memory?.add(pending.line);
      pending.settle.resolve(answer);
    }
  }

  /** Frees the client; the driver keeps its request until it answers or its grace time is over. */
  #giveUp(error: Error): void {
    const settle = this.#pending?.settle;
    if (this.#pending === undefined || settle === undefined) return;
    this.#pending.settle = undefined;
    this.#pending.settled();
    this.#become('draining');
    this.#graceTimer = setTimeout(() => {
      this.#options.logger.warn(
        { instance: this.id, language: this.language, graceMs: this.#options.graceMs },
        'the driver did not come back after its request was given up; ending it',
      );
      this.#end(undefined);
    }, this.#options.graceMs);
    settle.reject(error);
  }

  /** Without its output a driver is of no use. Mostly it is about to exit: how it did is worth a moment's wait. */
  #outputEnded(): void {
    if (this.#state === 'ended') return;
    this.#become('draining');
    clearTimeout(this.#graceTimer);
    this.#graceTimer = setTimeout(() => {
      const reason = 'it closed its output and did not exit';
      this.#end(
        new BabelhostError('driverCrashed', `The ${this.language} driver ended before it answered: ${reason}.`, {
          language: this.language,
          instance: this.id,
          reason,
        }),
      );
    }, this.#options.graceMs);
  }

  /** Begins the end: nothing more is read from the driver, its request fails now. */
  #end(fault: BabelhostError | undefined): void {
    if (this.#state === 'ended') return;
    if (fault !== undefined) {
      this.#options.logger.warn(
        { instance: this.id, language: this.language, kind: fault.kind, ...fault.data },
        fault.message,
      );
      this.#settleWith(fault);
    }
    this.#become('ended');
    clearTimeout(this.#graceTimer);
    this.#deadline.end();
    void this.#guest.kill();
  }

  /** The driver is gone: tells the request that it had, with how it ended and its last words. */
  #finish(exit: GuestExit): void {
    clearTimeout(this.#graceTimer);
    clearInterval(this.#memoryTimer);
    const { tail } = this.#stderr;
    this.#settleWith(
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
    if (this.#state !== 'ended') this.#become('ended');
  }

  #settleWith(error: Error): void {
    const pending = this.#pending;
    if (pending?.settle === undefined) return;
    const { reject } = pending.settle;
    pending.settle = undefined;
    pending.settled();
    reject(error);
  }

  #become(state: InstanceState): void {
    this.#state = state;
    this.#options.onStateChange(this);
  }
}
