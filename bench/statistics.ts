// Medians and spread of repeated measurements, and contestants that take turns: machines are noisy, and what drifts must
// drift for all of them.

export interface Sample {
  readonly median: number;
  /** The quartiles: half of the measurements lie between them. */
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

export function summarise(values: readonly number[]): Sample {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part: number): number => sorted[Math.min(Math.floor(part * sorted.length), sorted.length - 1)] ?? NaN;
  return { median: at(0.5), low: at(0.25), high: at(0.75), count: sorted.length };
}

/**
 * Measures contestants in turns, after some rounds that do not count. Each round begins with another of them, so that none
 * has its turn right after itself more often than the others: it would find the caches as it left them.
 * @param contestants each does its work once and returns what it measured
 */
export async function takeTurns<Name extends string>(
  rounds: number,
  warmUp: number,
  contestants: Readonly<Record<Name, () => Promise<number>>>,
): Promise<Record<Name, Sample>> {
  const names = Object.keys(contestants) as Name[];
  const values = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<Name, number[]>;
  for (let round = 0; round < warmUp + rounds; round += 1) {
    const first = round % names.length;
    const order = [...names.slice(first), ...names.slice(0, first)];
    for (const name of order) {
      const value = await contestants[name]();
      if (round >= warmUp) values[name].push(value);
    }
  }
  return Object.fromEntries(names.map((name) => [name, summarise(values[name])])) as Record<Name, Sample>;
}

/** How long `work` takes, in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}
