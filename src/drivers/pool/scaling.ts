// How many instances a pool should have: Babelfish's policy, composed of small ones. Each is asked once a tick, and works
// on numbers alone.

/** A pool at one tick. */
export interface Load {
  /** Instances that run. */
  readonly total: number;
  /** Of these. */
  readonly idle: number;
  /** Requests that wait for an instance. */
  readonly waiting: number;
}

/** Returns the number of instances to aim for. A policy may keep a history: one belongs to one pool. */
export type ScalingPolicy = (load: Load) => number;

/**
 * Additive increase, multiplicative decrease: grows by as many as requests wait beyond the idle instances, but by no more
 * than `increase` a tick; shrinks by the part `decrease` of the instances that have nothing to do, rounded up.
 */
export function additiveIncreaseMultiplicativeDecrease(increase: number, decrease: number): ScalingPolicy {
  return ({ total, idle, waiting }) => {
    const missing = waiting - idle;
    return missing >= 0 ? total + Math.min(increase, missing) : total - Math.ceil(-missing * decrease);
  };
}

/** Keeps what another policy wants within bounds. */
export function within(minimum: number, maximum: number, policy: ScalingPolicy): ScalingPolicy {
  return (load) => Math.min(Math.max(policy(load), minimum), maximum);
}

/** Shows another policy the average number of waiting requests over the last `ticks`, rounded up. */
export function averageLoad(ticks: number, policy: ScalingPolicy): ScalingPolicy {
  const average = movingAverage(ticks);
  return (load) => policy({ ...load, waiting: Math.ceil(average(load.waiting)) });
}

/** Averages what another policy wants over the last `ticks`, rounded up: one idle moment ends nothing. */
export function averageTarget(ticks: number, policy: ScalingPolicy): ScalingPolicy {
  const average = movingAverage(ticks);
  return (load) => Math.ceil(average(policy(load)));
}

export interface ScalingOptions {
  readonly minimumInstances: number;
  readonly maximumInstances: number;
  /** How far back averages reach, in milliseconds. */
  readonly windowMs: number;
  /** How often the policy is asked, in milliseconds. */
  readonly tickMs: number;
  /** By how many instances a pool grows in a tick, at most. */
  readonly increase: number;
  /** The part of the idle instances that is ended in a tick. */
  readonly decrease: number;
}

/** Babelfish averages the target over so many ticks, whatever the window of the load is. */
const targetTicks = 5;

/** Babelfish's default: AIMD within the bounds, over averages of load and target. */
export function defaultPolicy(options: ScalingOptions): ScalingPolicy {
  const ticks = Math.max(Math.round(options.windowMs / options.tickMs), 1);
  const policy = additiveIncreaseMultiplicativeDecrease(options.increase, options.decrease);
  const bounded = within(options.minimumInstances, options.maximumInstances, policy);
  return averageTarget(targetTicks, averageLoad(ticks, bounded));
}

/** The average of the last `length` values. */
function movingAverage(length: number): (value: number) => number {
  const values: number[] = [];
  let sum = 0;
  return (value) => {
    values.push(value);
    sum += value;
    if (values.length > length) sum -= values.shift() ?? 0;
    return sum / values.length;
  };
}
