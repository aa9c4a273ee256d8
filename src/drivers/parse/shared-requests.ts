// Identical requests in flight share one parse: an editor that asks again before the answer, or two clients with the same
// file. One that is cancelled or runs out of time takes nothing from the others; the work is given up with the last.
import { hash } from 'node:crypto';
import { isBabelhostError, type ErrorData } from '../../base/errors.ts';
import type { Phase } from '../pool/options.ts';
import type { ClientQueue } from '../pool/request-queue.ts';
import { CancelledError, parseTimeout, queueTimeout, waitingFromNow, type RequestTiming } from '../request.ts';

export interface Sharer {
  readonly client: ClientQueue;
  readonly timing: RequestTiming;
  readonly signal?: AbortSignal | undefined;
}

/** What two requests must have in common to share a parse. */
export interface Asked {
  /** The driver and the priority. */
  readonly of: string;
  readonly line: Buffer;
}

/** What the work of several requests is begun with. */
export interface Given {
  readonly timing: RequestTiming;
  /** Aborted when no request waits for the work any more. */
  readonly signal: AbortSignal;
  readonly onPhase: (phase: Phase) => void;
}

interface Shared<Result> {
  readonly result: Promise<Result>;
  /** The one that began it. */
  readonly client: ClientQueue;
  readonly giveUp: AbortController;
  readonly progress: Progress;
  sharers: number;
  settled: boolean;
}

/** What the work is at, and those to tell when it is at something else. */
interface Progress {
  phase: Phase;
  readonly watchers: Set<() => void>;
}

/** How often a request that joined looks whether the work waits for a client that does not read, in milliseconds. */
const checkMs = 500;

/** Why a request left work that goes on. */
class LeftError extends Error {
  readonly reason: Error | 'the client that asked first does not read';

  constructor(reason: LeftError['reason']) {
    super('A request has left the work that it shared.');
    this.reason = reason;
  }
}

export class SharedRequests<Result> {
  readonly #inFlight = new Map<string, Shared<Result>>();
  readonly #onShared: ((result: Result) => void) | undefined;

  /** @param onShared called with each result that several requests are about to get */
  constructor(onShared?: (result: Result) => void) {
    this.#onShared = onShared;
  }

  /**
   * Does work once for all who ask for the same at the same time.
   * @param start begins it for the first request
   * @throws what `start` throws; CancelledError and BabelhostError `timeout` for this sharer alone
   */
  async run({ of, line }: Asked, sharer: Sharer, start: (given: Given) => Promise<Result>): Promise<Result> {
    if (sharer.signal?.aborted === true) throw new CancelledError();
    const key = `${of} ${hash('sha256', line, 'hex')}`;
    let { timing } = sharer;
    for (;;) {
      const running = this.#inFlight.get(key);
      const joins = running !== undefined && !running.client.backedUp;
      const shared = joins ? running : this.#begin(key, sharer.client, timing, start);
      try {
        return await wait(shared, { ...sharer, timing }, joins);
      } catch (error) {
        if (error instanceof LeftError) {
          if (error.reason instanceof Error) throw error.reason;
          continue;
        }
        if (!joins) throw error;
        // The first one's client had too much in the queue, or its time was over: this one may have room, and time left.
        if (isBabelhostError(error, 'overloaded') && shared.client !== sharer.client) continue;
        if (!isBabelhostError(error, 'timeout') || !hasMoreTime(timing, error.data)) throw error;
        if (error.data['limit'] === 'timeoutMs') timing = waitingFromNow(timing);
      }
    }
  }

  #begin(
    key: string,
    client: ClientQueue,
    timing: RequestTiming,
    start: (given: Given) => Promise<Result>,
  ): Shared<Result> {
    const giveUp = new AbortController();
    const progress: Progress = { phase: 'waiting', watchers: new Set() };
    const onPhase = (phase: Phase): void => {
      // Where it still waits, the time for that goes on.
      if (phase === 'waiting' && progress.phase === 'waiting') return;
      progress.phase = phase;
      for (const watcher of progress.watchers) watcher();
    };
    const result = start({ timing, signal: giveUp.signal, onPhase });
    const shared: Shared<Result> = { result, client, giveUp, progress, sharers: 0, settled: false };
    this.#inFlight.set(key, shared);
    const forget = (): void => {
      shared.settled = true;
      if (this.#inFlight.get(key) === shared) this.#inFlight.delete(key);
    };
    // Before any sharer has the result: no request can join any more.
    result.then((found) => {
      forget();
      if (shared.sharers > 1) this.#onShared?.(found);
    }, forget);
    giveUp.signal.addEventListener('abort', forget, { once: true });
    return shared;
  }
}

/** Whether a request may go on after the time of another, which began the work, was over. */
function hasMoreTime(timing: RequestTiming, { limit, timeoutMs }: ErrorData): boolean {
  if (limit === 'queueTimeoutMs') return performance.now() < timing.queueDeadline;
  return typeof timeoutMs === 'number' && timing.timeoutMs > timeoutMs;
}

/**
 * Waits for a result until this sharer leaves.
 * @param joined whether it did not begin the work, which has the limits of the one that did
 * @throws LeftError; what the work throws
 */
async function wait<Result>(
  shared: Shared<Result>,
  { client, timing, signal }: Sharer,
  joined: boolean,
): Promise<Result> {
  const { progress } = shared;
  const { promise: left, reject: leave } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    leave(new LeftError(new CancelledError()));
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  let late: NodeJS.Timeout | undefined;
  let check: NodeJS.Timeout | undefined;
  const leaveAfter = (ms: number, reason: Error): void => {
    clearTimeout(late);
    late = setTimeout(() => {
      leave(new LeftError(reason));
    }, ms);
  };
  const limit = ({ queueDeadline }: RequestTiming): void => {
    if (progress.phase === 'parsing') leaveAfter(timing.timeoutMs, parseTimeout(timing));
    else leaveAfter(Math.max(queueDeadline - performance.now(), 0), queueTimeout(timing, 'waiting for an instance'));
  };
  const watcher = (): void => {
    limit(waitingFromNow(timing));
  };
  if (joined) {
    limit(timing);
    progress.watchers.add(watcher);
    check = setInterval(() => {
      if (shared.client.backedUp && shared.client !== client) {
        leave(new LeftError('the client that asked first does not read'));
      }
    }, checkMs);
  }
  shared.sharers += 1;
  try {
    return await Promise.race([shared.result, left]);
  } finally {
    shared.sharers -= 1;
    if (shared.sharers === 0 && !shared.settled) shared.giveUp.abort();
    signal?.removeEventListener('abort', onAbort);
    progress.watchers.delete(watcher);
    clearTimeout(late);
    clearInterval(check);
  }
}
