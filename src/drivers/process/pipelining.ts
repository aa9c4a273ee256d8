// Pipelining. A driver whose manifest has the feature `pipelining` may be written a second request of a batch behind the
// one that it is at, so that it need not wait for the host between the two. A request behind another is displaced, and then
// sent to another instance, when the driver takes too long over the first one or ends.
import type { Priority } from '../pool/request-queue.ts';
import type { RequestTiming } from '../request.ts';
import type { WrittenRequest } from './written-request.ts';

/** How long a request waits behind another before it is displaced, in milliseconds. */
const displacedAfterMs = 100;

/** Longer requests are not pipelined, in bytes: beside their own time, what they would save is little. */
const longestLine = 64 * 1024;

/** No pipelining for so long after an interactive request, in milliseconds: the next would wait for two sources, not one. */
export const interactiveMs = 1000;

/** The error of a request whose driver did not come to it: it may be sent to another instance as if it were new. */
export class DisplacedError extends Error {
  override readonly name = 'DisplacedError';

  constructor() {
    super('The driver did not come to the request.');
  }
}

interface Pipelinable {
  readonly line: Buffer;
  readonly timing: RequestTiming;
  readonly priority: Priority;
}

/** Until when a request may be written behind another, in milliseconds of performance.now(); -Infinity for never. */
export function pipelinedUntil({ line, timing, priority }: Pipelinable): number {
  // Where it is displaced, there must be time left to wait for another instance.
  return priority === 'batch' && line.length <= longestLine ? timing.queueDeadline - 2 * displacedAfterMs : -Infinity;
}

/** A request behind another, until the driver comes to it or it is displaced. */
export class PipelinedRequest {
  readonly #request: WrittenRequest;
  readonly #timer: NodeJS.Timeout;

  constructor(request: WrittenRequest) {
    this.#request = request;
    this.#timer = setTimeout(() => {
      this.displace();
    }, displacedAfterMs);
  }

  /** The driver comes to it. */
  begin(): WrittenRequest {
    clearTimeout(this.#timer);
    return this.#request;
  }

  displace(): void {
    clearTimeout(this.#timer);
    this.#request.settle(new DisplacedError());
  }
}
