// An instance: one running driver, from its start to its end, as one state machine. An answer that comes after its request
// was given up is read and dropped before the next request is written. A driver that does not answer within the grace time
// after that, whose output cannot be understood, or whose memory is used up, is ended.
import { BabelhostError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { ContainerExit } from '../../container/index.ts';
import { driverCrashed, type DriverProcess } from './driver-process.ts';
import { AnswerReader, unsolicitedError, withId, type AnswerLimits, type NativeAnswer } from './native-protocol.ts';
import { PipelinedRequest } from './pipelining.ts';
import { CancelledError, parseTimeout } from '../request.ts';
import { StandardErrorLog } from './standard-error.ts';
import { WrittenRequest, type InstanceRequest } from './written-request.ts';

/**
 * `idle`: it takes a request. `busy`: it is at one. `draining`: its request was given up, or it is expected to end, and it
 * has neither answered nor ended yet. `ended`: nothing more is read from it.
 */
export type InstanceState = 'idle' | 'busy' | 'draining' | 'ended';

/** What an instance and its pool know of their driver. */
export interface DriverTraits {
  readonly language: string;
  /** Of the driver's image. */
  readonly digest: string;
  readonly logger: Logger;
  /** Whether the driver returns the id of each request with its answer. */
  readonly requestIds?: boolean;
  /** Whether requests may be pipelined to it. Only where it returns ids. */
  readonly pipelining?: boolean;
  /** Whether what the driver writes to its stderr is logged, and not only how much. */
  readonly logStderr?: boolean;
}

export interface InstanceOptions extends DriverTraits {
  readonly limits: AnswerLimits;
  /** How long a driver may take to answer after its request was given up, in milliseconds. */
  readonly graceMs: number;
  /** Called when it has answered and takes another request. */
  readonly onFree: (instance: Instance) => void;
}

const newline = 0x0a;

export class Instance {
  readonly id: string;
  readonly language: string;
  readonly digest: string;
  readonly pid: number;
  readonly startedAt = performance.now();
  /** Resolves when the driver has ended and nothing of its container is left. Never rejects. */
  readonly ended: Promise<ContainerExit>;
  readonly #driver: DriverProcess;
  readonly #options: InstanceOptions;
  readonly #stderr: StandardErrorLog;
  #state: InstanceState = 'idle';
  /** What the driver is at, and what was written behind that. */
  #first: WrittenRequest | undefined;
  #behind: PipelinedRequest | undefined;
  #timeoutTimer: NodeJS.Timeout | undefined;
  #graceTimer: NodeJS.Timeout | undefined;
  #requests = 0;
  #answered = 0;
  #memoryBytes = 0;
  #retiring = false;
  #endedByHost = false;
  #outputHasEnded = false;

  constructor(driver: DriverProcess, options: InstanceOptions) {
    this.id = driver.id;
    this.pid = driver.pid;
    this.language = options.language;
    this.digest = options.digest;
    this.#driver = driver;
    this.#options = options;
    const logger = options.logger.child({ instance: driver.id });
    this.#stderr = new StandardErrorLog(driver.stderr, logger, options.logStderr ?? false);
    driver.stdout.on('data', (chunk: Buffer) => {
      let rest: Buffer | undefined = chunk;
      while (rest !== undefined && this.state !== 'ended') rest = this.#take(rest);
    });
    // EPIPE and the like: the driver has ended or closed its pipe, and the request fails with its exit.
    driver.stdin.on('error', () => undefined);
    driver.stdout.on('error', () => undefined);
    driver.stdout.once('end', () => {
      // Without its output a driver is of no use. Mostly it is about to exit, and its status is worth the grace time.
      this.#outputHasEnded = true;
      if (this.#state !== 'ended') this.#drain();
    });
    this.ended = driver.exited.then(async (exit) => {
      await driver.kill();
      this.#stop(driverCrashed(this, exit, this.#stderr.tail));
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

  /** Whether a request may be written behind the one that it is at. Not behind the first: a driver takes its time to start. */
  get hasRoomBehind(): boolean {
    const { pipelining, requestIds } = this.#options;
    const allowed = pipelining === true && requestIds === true && !this.#retiring;
    return allowed && this.#state === 'busy' && this.#behind === undefined && this.#answered > 0;
  }

  /** Whether it takes no more requests and ends as soon as it has none. */
  get retiring(): boolean {
    return this.#retiring;
  }

  /** Whether the pool or a person ended it: else it died, or was ended for what it did. */
  get endedByHost(): boolean {
    return this.#endedByHost;
  }

  /** Memory of its container when it was last measured, in bytes; 0 before that, or where nothing counts it. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** What the driver wrote to its stderr last, bounded. */
  get stderrTail(): string {
    return this.#stderr.tail;
  }

  /** Measures what it uses now, and the host's ids of its processes. */
  async measure(): Promise<{ memoryBytes?: number; cpuMs?: number; pids: readonly number[] }> {
    const [{ memoryBytes, cpuMs }, pids] = await Promise.all([this.#driver.usage(), this.#driver.processes()]);
    this.#memoryBytes = memoryBytes ?? 0;
    return { pids, ...(memoryBytes !== undefined && { memoryBytes }), ...(cpuMs !== undefined && { cpuMs }) };
  }

  /** Ends it where it is at work and the kernel has ended one of its processes: the others may wait for that one for ever. */
  async endIfOutOfMemory(): Promise<void> {
    if (this.#state !== 'busy' && this.#state !== 'draining') return;
    if ((await this.#driver.outOfMemory()) !== undefined) this.#end(undefined);
  }

  /**
   * Writes a request and waits for its answer. Only an idle instance takes one, or one that has room behind another.
   * Aborting it rejects at once, and so does the end of its time, which begins when the driver comes to it; the driver then has the grace time to finish.
   * @throws BabelhostError `timeout`, `driverCrashed`, `driverProtocol`, `responseTooLarge`; CancelledError; DisplacedError
   * for one that was written behind another
   */
  request(request: InstanceRequest): Promise<NativeAnswer> {
    if (this.#state !== 'idle' && !this.hasRoomBehind) {
      return Promise.reject(new Error(`instance ${this.id} is ${this.#state} and takes no request`));
    }
    if (request.signal?.aborted === true) return Promise.reject(new CancelledError());
    this.#requests += 1;
    const id = this.#options.requestIds === true ? String(this.#requests) : undefined;
    const written = new WrittenRequest(request, new AnswerReader(this.#options.limits, id), () => {
      this.#giveUp(written, new CancelledError());
    });
    if (this.#first === undefined) this.#begin(written);
    else this.#behind = new PipelinedRequest(written);
    this.#driver.stdin.write(id === undefined ? request.line : withId(request.line, id));
    return written.answer;
  }

  /** Ends it as soon as it has nothing to do. */
  retire(): void {
    this.#retiring = true;
    if (this.#state === 'idle') this.#end(undefined);
  }

  /** Ends the driver; a request in flight fails with `driverCrashed`. Resolves when nothing of it is left. */
  async end(): Promise<void> {
    this.#endedByHost = true;
    this.#end(undefined);
    await this.ended;
  }

  /** The driver comes to a request. */
  #begin(request: WrittenRequest): void {
    this.#first = request;
    if (request.settled) {
      // It was cancelled or displaced while the driver was at the one before.
      this.#drain();
      return;
    }
    this.#state = 'busy';
    this.#timeoutTimer = setTimeout(() => {
      this.#giveUp(request, parseTimeout(request.timing));
    }, request.timing.timeoutMs);
    request.onBegun?.();
  }

  /** Takes a piece of output. @returns the part of it that belongs to the next answer */
  #take(chunk: Buffer): Buffer | undefined {
    const request = this.#first;
    if (request === undefined) {
      this.#end(unsolicitedError());
      return undefined;
    }
    // Only where two requests are written may an answer end before the piece does: a line of JSON has no other newline.
    const end = this.#behind === undefined ? 0 : chunk.indexOf(newline) + 1;
    const length = end === 0 ? chunk.length : end;
    let answer: NativeAnswer | undefined;
    try {
      answer = request.reader.feed(chunk, length);
    } catch (error) {
      if (!(error instanceof BabelhostError)) throw error;
      this.#end(error);
      return undefined;
    }
    if (answer === undefined) return undefined;
    // First free, then answered: the client may send its next request at once.
    this.#advance();
    request.settle(answer);
    return length < chunk.length ? chunk.subarray(length) : undefined;
  }

  /** The driver has answered its first request, and comes to the next or is free. */
  #advance(): void {
    const next = this.#behind?.begin();
    this.#first = undefined;
    this.#behind = undefined;
    this.#answered += 1;
    this.#clearTimers();
    this.#state = 'idle';
    if (next !== undefined) this.#begin(next);
    if (this.#retiring && next === undefined) this.#end(undefined);
    else if (next === undefined || this.hasRoomBehind) this.#options.onFree(this);
  }

  /** Frees the client; the driver keeps its request until it answers or its grace time is over. */
  #giveUp(request: WrittenRequest, error: Error): void {
    if (request.settled) return;
    if (request === this.#first && this.#state !== 'ended') this.#drain();
    request.settle(error);
  }

  /** The driver is expected to answer or to end, and has the grace time for it. */
  #drain(): void {
    this.#state = 'draining';
    clearTimeout(this.#graceTimer);
    this.#graceTimer = setTimeout(() => {
      this.#onGraceOver();
    }, this.#options.graceMs);
    this.#behind?.displace();
  }

  #onGraceOver(): void {
    if (this.#outputHasEnded) {
      this.#end(driverCrashed(this, 'it closed its output and did not exit'));
      return;
    }
    this.#options.logger.warn(
      { instance: this.id, language: this.language, graceMs: this.#options.graceMs },
      'the driver did not come back after its request was given up; ending it',
    );
    this.#end(undefined);
  }

  /** Begins the end. With a fault, its request fails now; without one, when its exit is known. */
  #end(fault: BabelhostError | undefined): void {
    if (this.#state === 'ended') return;
    if (fault !== undefined) {
      const { kind, data, message } = fault;
      this.#options.logger.warn({ instance: this.id, language: this.language, kind, ...data }, message);
    }
    this.#stop(fault);
    void this.#driver.kill();
  }

  /** Nothing more is read. @param reason why its request failed; undefined where that is not known yet */
  #stop(reason: Error | undefined): void {
    this.#state = 'ended';
    this.#clearTimers();
    this.#behind?.displace();
    if (reason !== undefined) this.#first?.settle(reason);
  }

  #clearTimers(): void {
    clearTimeout(this.#timeoutTimer);
    clearTimeout(this.#graceTimer);
  }
}
