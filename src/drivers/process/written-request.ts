// A request that was written to a driver, until it is settled: by the answer, by a failure, or because the client has
// cancelled it or its time is over.
import type { AnswerReader, NativeAnswer } from './native-protocol.ts';
import type { RequestTiming } from '../request.ts';

/** A request to an instance. */
export interface InstanceRequest {
  /** As encodeRequest makes it. */
  readonly line: Buffer;
  readonly timing: RequestTiming;
  readonly signal?: AbortSignal | undefined;
  /** Called when the driver comes to it: later than it was written where it was pipelined. */
  readonly onBegun?: (() => void) | undefined;
}

export class WrittenRequest {
  readonly timing: RequestTiming;
  readonly reader: AnswerReader;
  readonly onBegun: (() => void) | undefined;
  readonly answer: Promise<NativeAnswer>;
  readonly #settle: (outcome: NativeAnswer | Error) => void;
  #settled = false;

  /** @param onCancel called when its signal is aborted before it is settled */
  constructor({ timing, signal, onBegun }: InstanceRequest, reader: AnswerReader, onCancel: () => void) {
    this.timing = timing;
    this.reader = reader;
    this.onBegun = onBegun;
    const { promise, resolve, reject } = Promise.withResolvers<NativeAnswer>();
    this.answer = promise;
    this.#settle = (outcome) => {
      signal?.removeEventListener('abort', onCancel);
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    signal?.addEventListener('abort', onCancel, { once: true });
  }

  /** Whether nobody waits for it any more: the driver's answer is then read and dropped. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Does nothing where it is settled. */
  settle(outcome: NativeAnswer | Error): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#settle(outcome);
  }
}
