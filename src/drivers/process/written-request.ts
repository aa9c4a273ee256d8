// A request that was written to a driver, until its answer has come: whoever asked may have gone before that.
import { AnswerReader, withId, type AnswerLimits, type NativeAnswer } from './native-protocol.ts';
import type { RequestTiming } from '../request.ts';

/**
 * Thrown where a request was written behind another, and the driver did not come to it in time, or at all: it may be
 * asked again elsewhere as if it had never been.
 */
export class DisplacedError extends Error {
  override readonly name = 'DisplacedError';

  constructor() {
    super('The driver did not come to the request.');
  }
}

/** What is asked of an instance. */
export interface InstanceRequest {
  /** As encodeRequest makes it. */
  readonly line: Buffer;
  readonly timing: RequestTiming;
  readonly signal?: AbortSignal | undefined;
  /** Called when the driver comes to it, where it was written behind another. */
  readonly onBegun?: (() => void) | undefined;
}

interface Settle {
  readonly resolve: (answer: NativeAnswer) => void;
  readonly reject: (error: Error) => void;
}

export class WrittenRequest {
  /** What was asked. */
  readonly line: Buffer;
  /** What the driver is written: the line, and the id where the driver returns it. */
  readonly bytes: Buffer;
  readonly timing: RequestTiming;
  readonly reader: AnswerReader;
  /** Settled as soon as the request is: by its answer, a failure, or because it is not wanted any more. */
  readonly answer: Promise<NativeAnswer>;
  readonly #begun: (() => void) | undefined;
  #settle: Settle | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #onCancel: () => void;

  /**
   * @param id of the request, where the driver returns it
   * @param onCancel called when whoever asked takes it back
   */
  constructor(
    { line, timing, signal, onBegun }: InstanceRequest,
    limits: AnswerLimits,
    id: string | undefined,
    onCancel: (request: WrittenRequest) => void,
  ) {
    this.line = line;
    this.bytes = id === undefined ? line : withId(line, id);
    this.timing = timing;
    this.reader = new AnswerReader(limits, id);
    this.#begun = onBegun;
    this.#signal = signal;
    this.#onCancel = () => {
      onCancel(this);
    };
    this.answer = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    signal?.addEventListener('abort', this.#onCancel, { once: true });
  }

  /** Whether nobody waits for it any more: the driver's answer is then read and dropped. */
  get settled(): boolean {
    return this.#settle === undefined;
  }

  /** The driver has come to it. */
  begun(): void {
    this.#begun?.();
  }

  /** Does nothing where it is settled. */
  resolve(answer: NativeAnswer): void {
    this.#take()?.resolve(answer);
  }

  /** Does nothing where it is settled. */
  reject(error: Error): void {
    this.#take()?.reject(error);
  }

  #take(): Settle | undefined {
    const settle = this.#settle;
    this.#settle = undefined;
    this.#signal?.removeEventListener('abort', this.#onCancel);
    return settle;
  }
}
