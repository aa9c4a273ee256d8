// Identical requests in flight share one parse: an editor that asks again before it was answered, or two clients on one
// file, cost a driver's time once. Each keeps its own patience: one that cancels or runs out of time takes nothing from
// the others, and the work is given up when nobody waits for it any more.
import { hash } from 'node:crypto';
import { isBabelhostError } from '../../base/errors.ts';
import type { ClientQueue } from '../pool/request-queue.ts';
import { CancelledError, timeoutError, type RequestTiming } from '../request.ts';

export interface Sharer {
  readonly client: ClientQueue;
  readonly timing: RequestTiming;
  readonly signal?: AbortSignal | undefined;
}

/** What is asked: of whom, and the line that says all the rest. The same of both, the same result. */
export interface Asked {
  readonly of: string;
  readonly line: Buffer;
}

interface Shared<Result> extends Asked {
  readonly result: Promise<Result>;
  readonly client: ClientQueue;
  readonly giveUp: AbortController;
  /** Of the line, where it has been compared with another of its length. */
  digest: string | undefined;
  sharers: number;
}

/** How often one who shares looks whether the work waits for a client that does not read, in milliseconds. */
const lookMs = 500;

export class SharedRequests<Result> {
  /** By the length of the line: few have the same, so that hardly any must be hashed to be told apart. */
  readonly #inFlight = new Map<number, Set<Shared<Result>>>();

  /**
   * Does work once for all who ask for the same at the same time.
   * @param start begins it for the first who asks; its signal is aborted when nobody waits any more
   * @throws what `start` throws; CancelledError and BabelhostError `timeout` for this sharer alone
   */
  run(asked: Asked, sharer: Sharer, start: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    if (sharer.signal?.aborted === true) return Promise.reject(new CancelledError());
    const shared = this.#find(asked);
    if (shared !== undefined && !shared.client.backedUp) return this.#follow(shared, asked, sharer, start);
    if (shared !== undefined) this.#forget(shared);
    return this.#begin(asked, sharer, start);
  }

  #find({ of, line }: Asked): Shared<Result> | undefined {
    const candidates = this.#inFlight.get(line.length);
    if (candidates === undefined) return undefined;
    const digest = digestOf(line);
    for (const each of candidates) {
      if (each.of === of && (each.digest ??= digestOf(each.line)) === digest) return each;
    }
    return undefined;
  }

  #begin({ of, line }: Asked, sharer: Sharer, start: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const giveUp = new AbortController();
    const result = start(giveUp.signal);
    const { client, signal } = sharer;
    const shared: Shared<Result> = { of, line, result, client, giveUp, digest: undefined, sharers: 0 };
    const sameLength = this.#inFlight.get(line.length);
    if (sameLength === undefined) this.#inFlight.set(line.length, new Set([shared]));
    else sameLength.add(shared);
    const forget = (): void => {
      this.#forget(shared);
    };
    // Before anybody else is told of the result: nobody can join any more.
    result.then(forget, forget);
    giveUp.signal.addEventListener('abort', forget, { once: true });
    // The work itself keeps this one's deadline.
    return attend(shared, signal).result;
  }

  #forget(shared: Shared<Result>): void {
    const sameLength = this.#inFlight.get(shared.line.length);
    if (sameLength?.delete(shared) === true && sameLength.size === 0) this.#inFlight.delete(shared.line.length);
  }

  async #follow(
    shared: Shared<Result>,
    asked: Asked,
    sharer: Sharer,
    start: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const { timing, signal, client } = sharer;
    const { result, leave } = attend(shared, signal);
    const late = setTimeout(
      () => {
        leave(timeoutError(timing.timeoutMs, 'being parsed'));
      },
      Math.max(timing.deadline - performance.now(), 0),
    );
    const look = setInterval(() => {
      if (shared.client.backedUp && shared.client !== client) leave(leftAlone);
    }, lookMs);
    try {
      return await result;
    } catch (error) {
      // The first one's time was over, its client stopped reading, or had too much in the queue: this one may still have
      // time and room of its own.
      const alone =
        error === leftAlone ||
        isBabelhostError(error, 'timeout') ||
        (isBabelhostError(error, 'overloaded') && shared.client !== client);
      if (!alone || performance.now() >= timing.deadline) throw error;
    } finally {
      clearTimeout(late);
      clearInterval(look);
    }
    return await this.run(asked, sharer, start);
  }
}

/** Waits for a result until this sharer cancels or leaves; the last one to do so gives the work up. */
function attend<Result>(
  shared: Shared<Result>,
  signal: AbortSignal | undefined,
): { readonly result: Promise<Result>; readonly leave: (reason: Error) => void } {
  shared.sharers += 1;
  let waiting = true;
  let leave: (reason: Error) => void = () => undefined;
  const result = new Promise<Result>((resolve, reject) => {
    const cancel = (): void => {
      leave(new CancelledError());
    };
    const stop = (): void => {
      waiting = false;
      shared.sharers -= 1;
      signal?.removeEventListener('abort', cancel);
    };
    leave = (reason) => {
      if (!waiting) return;
      stop();
      if (shared.sharers === 0) shared.giveUp.abort();
      reject(reason);
    };
    signal?.addEventListener('abort', cancel, { once: true });
    shared.result.then(
      (found) => {
        if (!waiting) return;
        stop();
        resolve(found);
      },
      (error: unknown) => {
        if (!waiting) return;
        stop();
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
  return { result, leave };
}

function digestOf(line: Buffer): string {
  return hash('sha256', line, 'hex');
}

const leftAlone = new Error('the client that asked first does not read');
