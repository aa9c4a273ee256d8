// A request that is being served: what its handler is given of it besides its parameters. What few handlers ask for is
// made when they do: requests come by the thousand in a second.
import type { TraceSpan } from '../../drivers/observer.ts';
import type { ClientQueue } from '../../drivers/pool/request-queue.ts';
import type { WorkDoneProgress } from '../client.ts';
import type { RequestContext } from '../handlers/handlers.ts';
import { ProgressReporter } from './progress.ts';

/** Sends `$/progress`; resolves when the client's stream has taken it. */
export type SendProgress = (token: string | number, value: unknown) => Promise<void>;

export class ServedRequest implements RequestContext {
  readonly client: ClientQueue;
  readonly id: string;
  span: TraceSpan | undefined = undefined;
  sendPartialResult: RequestContext['sendPartialResult'] = undefined;
  readonly #controller = new AbortController();
  readonly #sendProgress: SendProgress;
  #workDoneToken: unknown = undefined;
  #progress: ProgressReporter | undefined = undefined;

  /** @param id what the log calls it */
  constructor(client: ClientQueue, id: string, sendProgress: SendProgress) {
    this.client = client;
    this.id = id;
    this.#sendProgress = sendProgress;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get progress(): ProgressReporter {
    this.#progress ??= new ProgressReporter((progress: WorkDoneProgress) => {
      const token = this.#workDoneToken;
      // A client that cannot be written to any more is noticed elsewhere.
      if (isToken(token)) this.#sendProgress(token, progress).catch(() => undefined);
    });
    return this.#progress;
  }

  /** Takes the tokens that the client gave to be told of progress and results. */
  takeTokens(params: Readonly<Record<string, unknown>>): void {
    this.#workDoneToken = params['workDoneToken'];
    const token = params['partialResultToken'];
    if (isToken(token)) this.sendPartialResult = (results) => this.#sendProgress(token, results);
  }

  /** The client does not want it any more, or is gone. */
  cancel(): void {
    this.#controller.abort();
  }

  /** It is about to be answered. */
  end(): void {
    this.#progress?.end();
  }
}

function isToken(token: unknown): token is string | number {
  return typeof token === 'string' || typeof token === 'number';
}
