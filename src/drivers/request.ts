// What bounds one request on its way through a pool and an instance: its cancellation and its deadline.
import { BabelhostError } from '../base/errors.ts';

/** Thrown when the client has cancelled its request; the protocol answers RequestCancelled. */
export class CancelledError extends Error {
  override readonly name = 'CancelledError';

  constructor() {
    super('The request was cancelled by the client.');
  }
}

/** The error of a request whose deadline has passed. */
export function timeoutError(
  timeoutMs: number,
  phase: 'waiting for other files' | 'waiting for an instance' | 'being parsed',
): BabelhostError {
  return new BabelhostError(
    'timeout',
    `The request was not answered within ${timeoutMs} ms (it was ${phase}); give it more time (timeoutMs) or a smaller source.`,
    { timeoutMs, phase },
  );
}

/** How long a request may take. */
export interface RequestTiming {
  /** In milliseconds of performance.now(). */
  readonly deadline: number;
  /** All the time that it has, for the message. */
  readonly timeoutMs: number;
}
