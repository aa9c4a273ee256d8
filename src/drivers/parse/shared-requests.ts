// Identical requests in flight share one parse: an editor that asks again before the answer, or two clients with the same
// file. One that is cancelled or runs out of time takes nothing from the others; the work is given up with the last.
import { hash } from 'node:crypto';
import { isBabelhostError } from '../../base/errors.ts';
import type { ClientQueue } from '../pool/request-queue.ts';
import { CancelledError, timeoutError, type RequestTiming } from '../request.ts';

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

interface Shared<Result> {
  readonly result: Promise<Result>;
  /** The one that began it. */
  readonly client: ClientQueue;
  readonly giveUp: AbortController;
  sharers: number;
  settled: boolean;
}

/** How often a request that joined looks whether the work waits for a client that does not read, in milliseconds. */
const checkMs = 500;

const clientDoesNotRead = new Error('the client that asked first does not read');

export class SharedRequests<Result> {
  readonly #inFlight = new Map<string, Shared<Result>>();
  readonly #onShared: ((result: Result) => void) | undefined;

  /** @param onShared called with each result that several requests are about to get */
  constructor(onShared?: (result: Result) => void) {
    this.#onShared = onShared;
  }

  /**
   * Does work once for all who ask for the same at the same time.
   * @param start begins it for the first request; its signal is aborted when no request waits any more
   * @throws what `start` throws; CancelledError and BabelhostError `timeout` for this sharer alone
   */
  async run({ of, line }: Asked, sharer: Sharer, start: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    if (sharer.signal?.aborted === true) throw new CancelledError();
    const key = `${of} ${hash('sha256', line, 'hex')}`;
    for (;;) {
      const running = this.#inFlight.get(key);
      const joins = running !== undefined && !running.client.backedUp;
      const shared = joins ? running : this.#begin(key, sharer.client, start);
      try {
        return await wait(shared, sharer, joins);
      } catch (error) {
        // The first one's time was over, its client stopped reading, or had too much in the queue: this one may still
        // have time, and room of its own.
        const alone =
          error === clientDoesNotRead ||
          isBabelhostError(error, 'timeout') ||
          (isBabelhostError(error, 'overloaded') && shared.client !== sharer.client);
        if (!joins || !alone || performance.now() >= sharer.timing.deadline) throw error;
      }
    }
  }

  #begin(key: string, client: ClientQueue, start: (signal: AbortSignal) => Promise<Result>): Shared<Result> {
    const giveUp = new AbortController();
    const result = start(giveUp.signal);
    const shared: Shared<Result> = { result, client, giveUp, sharers: 0, settled: false };
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

/** Waits for a result until this sharer leaves. @param joined whether it did not begin the work, which has its deadline */
async function wait<Result>(
  shared: Shared<Result>,
  { client, timing, signal }: Sharer,
  joined: boolean,
): Promise<Result> {
  const { promise: left, reject: leave } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    leave(new CancelledError());
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  let late: NodeJS.Timeout | undefined;
  let check: NodeJS.Timeout | undefined;
  if (joined) {
    late = setTimeout(
      () => {
        leave(timeoutError(timing.timeoutMs, 'being parsed'));
      },
      Math.max(timing.deadline - performance.now(), 0),
    );
    check = setInterval(() => {
      if (shared.client.backedUp && shared.client !== client) leave(clientDoesNotRead);
    }, checkMs);
  }
  shared.sharers += 1;
  try {
    return await Promise.race([shared.result, left]);
  } finally {
    shared.sharers -= 1;
    if (shared.sharers === 0 && !shared.settled) shared.giveUp.abort();
    signal?.removeEventListener('abort', onAbort);
    clearTimeout(late);
    clearInterval(check);
  }
}
