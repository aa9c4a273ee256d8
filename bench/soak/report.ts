// The soak's verdict: what was found, in figures, and what of it is not as it must be.
import type { Books } from './books.ts';
import type { Measure, MemorySample } from './host.ts';

/** What requests may fail of here: what is done to their drivers, and what they do themselves. */
const expected =
  /^(requestCancelled|timeout|driverCrashed|driverProtocol|driverFailed|quarantined|overloaded)( \(of a file\))?$/;

/** By how much what is alive may differ before and after: code and caches come to be. In ten minutes a leak comes to more. */
const mayGrowBytes = 4 * 2 ** 20;

export interface Findings {
  readonly seed: number;
  readonly minutes: number;
  readonly books: Books;
  readonly before: Measure;
  readonly after: Measure;
  /** Taken while the host was soaked. */
  readonly memory: readonly MemorySample[];
  readonly status: number | null;
}

/** @returns the report, and whether all is as it must be */
export function report(findings: Findings): { text: string; sound: boolean } {
  const { seed, minutes, books, before, after, memory, status } = findings;
  const half = memory.slice(Math.floor(memory.length / 2));
  const growth = slope(half.map(({ at, rss }) => [at, rss / 2 ** 20]));
  const faulty: string[] = [];
  for (const name of ['lost', 'wrong'] as const) if (books[name] > 0) faulty.push(`${books[name]} ${name}`);
  if (books.doubled > 0) faulty.push(`${books.doubled} answered twice`);
  for (const [kind, number] of Object.entries(books.failed)) if (!expected.test(kind)) faulty.push(`${number} ${kind}`);
  if (books.late > 0) faulty.push(`${books.late} answered later than their time and grace`);
  // Resident memory takes some minutes to reach what the largest trees need: a short run tells nothing of it.
  if (minutes >= 5 && growth.total > 3 * growth.error) faulty.push('memory grows');
  if (after.alive > before.alive + mayGrowBytes) faulty.push('what is alive grows');
  if (after.descriptors > before.descriptors) faulty.push('descriptors are left');
  if (after.instances > before.instances) faulty.push('instances are left');
  if (status !== 0) faulty.push(`the host ended with status ${String(status)}`);

  const failed = Object.values(books.failed).reduce((sum, each) => sum + each, 0);
  const sorted = books.interactiveMs.toSorted((a, b) => a - b);
  const row = (name: string, of: (measured: Measure) => number): string =>
    `${name.padEnd(22)}${of(before).toFixed(0).padStart(8)} → ${of(after).toFixed(0)}`;
  const megabytes = (bytes: number): number => bytes / 2 ** 20;
  const mean = (of: (sample: MemorySample) => number): string => {
    const third = Math.ceil(half.length / 3);
    const average = (samples: readonly MemorySample[]): number =>
      megabytes(samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length);
    return `${average(half.slice(0, third)).toFixed(0)} → ${average(half.slice(-third)).toFixed(0)}`;
  };
  const text = `
seed ${seed}, ${minutes} min
requests sent         ${books.sent}, and ${books.files} files of parse/files
answered              ${books.answered}
failed                ${failed}: ${list(books.failed)}
given up by clients   ${books.abandoned}
lost                  ${books.lost}
answered twice        ${books.doubled}
answered wrongly      ${books.wrong}
later than allowed    ${books.late}
faults                ${list(books.injected)}
interactive requests  ${sorted.length}: p50 ${percentile(sorted, 0.5)}, p99 ${percentile(sorted, 0.99)}, longest ${percentile(sorted, 1)}
before → after, at rest
${row('instances', ({ instances }) => instances)}
${row('file descriptors', ({ descriptors }) => descriptors)}
${row('child processes', ({ children }) => children)}
${row('memory, MB', (measured) => megabytes(measured.memory))}
${row('of it alive, MB', ({ alive }) => megabytes(alive))}
the second half's first third → its last, under load, MB
resident memory       ${mean(({ rss }) => rss)}
V8's heap             ${mean(({ heapTotal }) => heapTotal)}, used ${mean(({ heapUsed }) => heapUsed)}
buffers               ${mean(({ arrayBuffers }) => arrayBuffers)}
growth in that half   ${growth.total.toFixed(1)} MB (± ${growth.error.toFixed(1)}) in ${(minutes / 2).toFixed(1)} min
${faulty.length === 0 ? 'sound' : `NOT SOUND: ${faulty.join('; ')}`}
`;
  return { text, sound: faulty.length === 0 };
}

/**
 * Least squares: the growth over all the time of the samples, and its standard error. Samples that follow one another
 * resemble one another, so they count as fewer than they are, by the correlation of neighbours (an AR(1) process).
 */
export function slope(samples: readonly (readonly [number, number])[]): { total: number; error: number } {
  const n = samples.length;
  const meanX = samples.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = samples.reduce((sum, [, y]) => sum + y, 0) / n;
  const sxx = samples.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const perX = samples.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / sxx;
  const residuals = samples.map(([x, y]) => y - meanY - perX * (x - meanX));
  const variance = residuals.reduce((sum, each) => sum + each ** 2, 0);
  const neighbours = residuals.slice(1).reduce((sum, each, index) => sum + each * (residuals[index] ?? 0), 0);
  const correlation = Math.min(Math.max(neighbours / variance, 0), 0.99);
  const span = (samples.at(-1)?.[0] ?? 0) - (samples[0]?.[0] ?? 0);
  const independent = Math.sqrt(variance / (n - 2) / sxx);
  return { total: perX * span, error: span * independent * Math.sqrt((1 + correlation) / (1 - correlation)) };
}

function percentile(sorted: readonly number[], part: number): string {
  return `${(sorted[Math.min(Math.floor(part * sorted.length), sorted.length - 1)] ?? NaN).toFixed(1)} ms`;
}

function list(of: Readonly<Record<string, number>>): string {
  return Object.entries(of)
    .sort(([, a], [, b]) => b - a)
    .map(([name, number]) => `${name} ${number}`)
    .join(', ');
}
