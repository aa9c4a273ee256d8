// What is said to one driver and what it answers. It takes one request at a time, and answers and requests are kept
// together for certain: an answer that comes after its request was given up is read and dropped before the next request is
// written. Where the driver returns the ids of requests, an answer that it made up or wrote twice is told from the one
// that was asked for.
//
// Where the driver lets it (`pipelining` in its manifest), a second request may be written behind the one that it is at,
// so that it need not wait for the host between the two. Until the driver comes to it, that one has a way out: it is
// displaced, and may be asked elsewhere, when the driver ends or takes too long over the first. Its answer is then
// dropped as that of any request that was given up.
import type { Readable, Writable } from 'node:stream';
import { BabelhostError } from '../errors.ts';
import { unsolicited, type AnswerLimits, type NativeAnswer } from './native-protocol.ts';
import { CancelledError, timeoutError } from './request.ts';
import { DisplacedError, WrittenRequest, type InstanceRequest } from './written-request.ts';

/** How long a request waits behind another before it is displaced, in milliseconds. */
export const aheadPatienceMs = 100;

export interface ConversationOptions {
  readonly limits: AnswerLimits;
  /** Whether the driver returns the id of each request with its answer. */
  readonly requestIds: boolean;
  /** Whether it may be written a request before it has answered the last. Only where it returns ids. */
  readonly pipelining: boolean;
  /** How long a driver may take to come back after its request was given up, in milliseconds. */
  readonly graceMs: number;
  /** Called when the driver comes to a request, or is to be asked no more: it has one, or has none. */
  readonly onBusy: () => void;
  /** Called when it has answered, before whoever asked is told: it may have room for another request, or be idle. */
  readonly onAnswered: () => void;
  /** What it wrote cannot be understood. Nothing that it writes afterwards can be either. */
  readonly onFault: (fault: BabelhostError) => void;
  /** It did not come back in its grace time. */
  readonly onStuck: () => void;
}

const newline = 0x0a;

export class Conversation {
  readonly #stdin: Writable;
  readonly #options: ConversationOptions;
  #state: 'idle' | 'busy' | 'draining' | 'ended' = 'idle';
  /** What the driver is at, and what was written behind that. */
  #first: WrittenRequest | undefined;
  #behind: WrittenRequest | undefined;
  /** For the deadline of the first, and for the patience of the one behind it. */
  #deadlineTimer: NodeJS.Timeout | undefined;
  #patienceTimer: NodeJS.Timeout | undefined;
  #graceTimer: NodeJS.Timeout | undefined;
  #requests = 0;
  #answered = 0;

  /** @param stdin the driver's, and its stdout; who has them deals with their errors and their end */
  constructor(stdin: Writable, stdout: Readable, options: ConversationOptions) {
    this.#stdin = stdin;
    this.#options = options;
    stdout.on('data', (chunk: Buffer) => {
      let rest: Buffer | undefined = chunk;
      while (rest !== undefined && this.state !== 'ended') rest = this.#take(rest);
    });
  }

  /** `draining`: its request was given up, or it is expected to end, and it has yet to come back. */
  get state(): 'idle' | 'busy' | 'draining' | 'ended' {
    return this.#state;
  }

  /** Requests written to the driver so far. */
  get requests(): number {
    return this.#requests;
  }

  /** Answers that came and could be understood. */
  get answered(): number {
    return this.#answered;
  }

  /** Whether a request may be written behind the one that the driver is at. Not the first: a driver takes its time to start. */
  get hasRoomBehind(): boolean {
    const { pipelining, requestIds } = this.#options;
    return pipelining && requestIds && this.#state === 'busy' && this.#behind === undefined && this.#answered > 0;
  }

  /**
   * Writes a request and waits for its answer: to an idle driver, or behind another request where there is room. The
   * deadline of the latter must be further off than `aheadPatienceMs`.
   * @throws what Instance.request throws
   */
  request(request: InstanceRequest): Promise<NativeAnswer> {
    if (request.signal?.aborted === true) return Promise.reject(new CancelledError());
    this.#requests += 1;
    const id = this.#options.requestIds ? String(this.#requests) : undefined;
    const written = new WrittenRequest(request, this.#options.limits, id, this.#onCancel);
    if (this.#first === undefined) {
      this.#first = written;
      this.#begin(written);
    } else {
      this.#behind = written;
      this.#patienceTimer = setTimeout(() => {
        this.#displace();
      }, aheadPatienceMs);
    }
    this.#stdin.write(written.bytes);
    return written.answer;
  }

  /** The driver is expected to end, and has the grace time for it. */
  drain(): void {
    this.#state = 'draining';
    this.#allowGrace();
    this.#displace();
  }

  /** Nothing more is read. @param reason why what the driver is at has failed; without one, that is yet to be told */
  end(reason: Error | undefined): void {
    this.#state = 'ended';
    clearTimeout(this.#graceTimer);
    clearTimeout(this.#deadlineTimer);
    this.#displace();
    if (reason !== undefined) this.#first?.reject(reason);
  }

  readonly #onCancel = (request: WrittenRequest): void => {
    this.#giveUp(request, new CancelledError());
  };

  /** The driver comes to a request. */
  #begin(request: WrittenRequest): void {
    if (request.settled) {
      // It was taken back while the driver was at the one before.
      this.#state = 'draining';
      this.#allowGrace();
    } else {
      this.#state = 'busy';
      const { deadline, timeoutMs } = request.timing;
      this.#deadlineTimer = setTimeout(
        () => {
          this.#giveUp(request, timeoutError(timeoutMs, 'being parsed'));
        },
        Math.max(deadline - performance.now(), 0),
      );
      request.begun();
    }
    this.#options.onBusy();
  }

  /** Takes a piece of output. @returns the part of it that belongs to the next answer */
  #take(chunk: Buffer): Buffer | undefined {
    const request = this.#first;
    const next = this.#behind;
    if (request === undefined) {
      this.#options.onFault(unsolicited());
      return undefined;
    }
    // Only where two are asked for may an answer end before the piece does: a line of JSON has no other newline.
    const end = next === undefined ? 0 : chunk.indexOf(newline) + 1;
    const length = end === 0 ? chunk.length : end;
    let answer: NativeAnswer | undefined;
    try {
      answer = request.reader.feed(chunk, length);
    } catch (error) {
      if (!(error instanceof BabelhostError)) throw error;
      this.#options.onFault(error);
      return undefined;
    }
    if (answer === undefined) return undefined;
    this.#comeBack(next);
    request.resolve(answer);
    return length < chunk.length ? chunk.subarray(length) : undefined;
  }

  /** The driver has answered its first request, and comes to the next or is free. */
  #comeBack(next: WrittenRequest | undefined): void {
    this.#first = next;
    this.#behind = undefined;
    this.#answered += 1;
    clearTimeout(this.#deadlineTimer);
    clearTimeout(this.#graceTimer);
    clearTimeout(this.#patienceTimer);
    if (next === undefined) this.#state = 'idle';
    else this.#begin(next);
    // First free, then answered: whoever is told of the answer may at once send the next request.
    this.#options.onAnswered();
  }

  /** Frees the client; the driver keeps its request until it answers or its grace time is over. */
  #giveUp(request: WrittenRequest, error: Error): void {
    if (request.settled) return;
    if (request === this.#first && this.#state !== 'ended') {
      clearTimeout(this.#deadlineTimer);
      this.drain();
    }
    request.reject(error);
  }

  /** Whoever waits behind another request is better served elsewhere. */
  #displace(): void {
    clearTimeout(this.#patienceTimer);
    this.#behind?.reject(new DisplacedError());
  }

  #allowGrace(): void {
    clearTimeout(this.#graceTimer);
    this.#graceTimer = setTimeout(this.#options.onStuck, this.#options.graceMs);
  }
}
