// What bounds one request on its way through a pool and an instance: its cancellation, and how long it may wait and be parsed.
import { BabelhostError } from '../base/errors.ts';

/** Thrown when the client has cancelled its request; the protocol answers RequestCancelled. */
export class CancelledError extends Error {
  override readonly name = 'CancelledError';

  constructor() {
    super('The request was cancelled by the client.');
  }
}

/** How long a request may take. Waiting and being parsed have a limit each: under load, the first says nothing of the source. */
export interface RequestTiming {
  /** For a driver to parse it, from when that has it, in milliseconds. */
  readonly timeoutMs: number;
  /** To wait until a driver takes it, in milliseconds. */
  readonly queueTimeoutMs: number;
  /** When that is over, in milliseconds of performance.now(). */
  readonly queueDeadline: number;
}

/** The timing of a request that begins to wait now. */
export function waitingFromNow({ timeoutMs, queueTimeoutMs }: Omit<RequestTiming, 'queueDeadline'>): RequestTiming {
  return { timeoutMs, queueTimeoutMs, queueDeadline: performance.now() + queueTimeoutMs };
}

/** The error of a request that a driver did not answer in time. */
export function parseTimeout({ timeoutMs }: RequestTiming): BabelhostError {
  return new BabelhostError(
    'timeout',
    `The driver did not answer within ${timeoutMs} ms; give it more time (timeoutMs, --timeout) or a smaller source.`,
    { limit: 'timeoutMs', timeoutMs, phase: 'being parsed' },
  );
}

/** The error of a request that no driver took in time. */
export function queueTimeout(
  { queueTimeoutMs }: RequestTiming,
  phase: 'waiting for other files' | 'waiting for an instance',
): BabelhostError {
  return new BabelhostError(
    'timeout',
    `No driver took the request within ${queueTimeoutMs} ms (it was ${phase}); let it wait for longer (queueTimeoutMs, --queue-timeout), or ask for less at once.`,
    { limit: 'queueTimeoutMs', timeoutMs: queueTimeoutMs, phase },
  );
}
