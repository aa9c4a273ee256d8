// What a handler is: a method's work, between the table's types and the rooms below; and what all of them share.
import type { TraceSpan } from '../../drivers/observer.ts';
import { CancelledError } from '../../drivers/request.ts';
import type { ClientQueue } from '../../drivers/pool/request-queue.ts';
import type { Progress } from '../../images/index.ts';
import type { CheckedParams, FileResult, MethodName, Result } from '../methods.ts';
import type { ProgressReporter } from '../server/progress.ts';
import type { HostServices } from '../server/services.ts';

/** What a handler knows of the request besides its parameters. */
export interface RequestContext {
  /** The client, as the pools tell clients apart. */
  readonly client: ClientQueue;
  /** What the log calls the request: unique in this process. */
  readonly id: string;
  /** Where traces are on. */
  readonly span: TraceSpan | undefined;
  /** Aborted when the client has cancelled the request or gone away. */
  readonly signal: AbortSignal;
  readonly progress: ProgressReporter;
  /** Streams to the request's partialResultToken; resolves when the client's stream has taken it. */
  readonly sendPartialResult: ((results: readonly FileResult[]) => Promise<void>) | undefined;
}

export type Handler<Name extends MethodName> = (
  params: CheckedParams<Name>,
  context: RequestContext,
  services: HostServices,
) => Promise<Result<Name>> | Result<Name>;

/** The handlers of some methods. */
export type Handlers<Name extends MethodName> = { readonly [Each in Name]: Handler<Each> };

/** Passes on how far work on an image is, layer by layer. */
export function transferProgress(progress: ProgressReporter): (step: Progress) => void {
  return ({ phase, layer, done, total }) => {
    progress.report({
      phase,
      done,
      ...(layer !== undefined && { item: layer }),
      ...(total !== undefined && { total }),
    });
  };
}

/**
 * Frees the client at the instant that it cancels. What `work` began is then on its way out (it has the same signal): it
 * ends its fetches at once, and removes in its own time what it had made, for which the host waits when it closes.
 * @throws CancelledError
 */
export async function untilCancelled<T>(
  { signal }: RequestContext,
  { unwinding }: HostServices,
  work: () => Promise<T>,
): Promise<T> {
  if (signal.aborted) throw new CancelledError();
  const working = work();
  const settled = working.then(
    () => undefined,
    () => undefined,
  );
  unwinding.add(settled);
  void settled.then(() => unwinding.delete(settled));
  let cancel: (() => void) | undefined;
  const cancelled = new Promise<never>((_resolve, reject) => {
    cancel = () => {
      reject(new CancelledError());
    };
    signal.addEventListener('abort', cancel, { once: true });
  });
  try {
    return await Promise.race([working, cancelled]);
  } finally {
    if (cancel !== undefined) signal.removeEventListener('abort', cancel);
  }
}

/** Milliseconds to the microsecond. */
export function rounded(milliseconds: number): number {
  return Math.round(milliseconds * 1000) / 1000;
}
