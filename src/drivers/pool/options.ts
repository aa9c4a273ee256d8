// The options and limits of a pool, and a request to it.
import type { ContainerId } from '../../container/index.ts';
import type { InstanceBudget } from './budget.ts';
import type { DriverProcess } from '../process/driver-process.ts';
import type { DriverTraits } from '../process/instance.ts';
import type { AnswerLimits } from '../process/native-protocol.ts';
import type { TraceSpan } from '../observer.ts';
import type { Priority, ClientQueue } from './request-queue.ts';
import type { RequestTiming } from '../request.ts';
import type { ScalingOptions } from './scaling.ts';

export interface PoolLimits extends AnswerLimits, ScalingOptions {
  /** The most requests that may wait. */
  readonly queueLength: number;
  /** How long a driver may take to answer after its request was given up, in milliseconds. */
  readonly graceMs: number;
  /** How long an instance may take to boot, in milliseconds. */
  readonly bootMs: number;
  /** How long a driver may take to parse for a request that names no time of its own, in milliseconds. */
  readonly timeoutMs: number;
  /** How long a request may wait for a driver where it names no time of its own, in milliseconds. */
  readonly queueTimeoutMs: number;
  /** After how long without requests all instances go, in milliseconds; 0 for never. */
  readonly idleMs: number;
  /** An instance is replaced after this many requests; 0 for never. */
  readonly retireRequests: number;
  /** An instance is replaced at this age, in milliseconds; 0 for never. */
  readonly retireAgeMs: number;
  /** An instance is replaced when it holds this much memory after a request, in bytes; 0 for never. */
  readonly retireMemoryBytes: number;
  /** For how long a source that killed two instances is refused, in milliseconds; 0 for never. */
  readonly quarantineMs: number;
}

export interface PoolOptions extends DriverTraits {
  readonly limits: PoolLimits;
  readonly budget: InstanceBudget;
  /** Boots one driver, in a container with this id; rejects with the reason where it cannot. */
  readonly boot: (id: ContainerId, signal: AbortSignal) => Promise<DriverProcess>;
}

/** What a request is at. */
export type Phase = 'waiting' | 'parsing';

export interface PoolRequest {
  /** As encodeRequest makes it. */
  readonly line: Buffer;
  readonly timing: RequestTiming;
  readonly client: ClientQueue;
  readonly priority: Priority;
  readonly signal?: AbortSignal | undefined;
  /** Called when a driver has come to it, and when it waits again because that one died. */
  readonly onPhase?: ((phase: Phase) => void) | undefined;
  /** What the log calls it. */
  readonly id?: string | undefined;
  readonly span?: TraceSpan | undefined;
}
