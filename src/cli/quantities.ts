// Sizes and times as people write and read them: `64M`, `1.5 MiB`, `30s`, `250 ms`. Imports commander's error only.
import { InvalidArgumentError } from 'commander';

const byteUnits = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 } as const;

/**
 * Bytes from `4096`, `64K`, `64M`, `64MiB`, `1.5G`; units are powers of 1024.
 * @throws InvalidArgumentError, which commander turns into wrong usage
 */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text.trim());
  const unit = (match?.[2] ?? '').toUpperCase() as keyof typeof byteUnits;
  const bytes = Math.round(Number(match?.[1]) * byteUnits[unit]);
  if (!Number.isSafeInteger(bytes) || bytes < 1) {
    throw new InvalidArgumentError('It must be a size, such as 4096, 512K or 64M.');
  }
  return bytes;
}

const timeUnits = { '': 1, ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** The longest that setTimeout can wait; more would make it fire at once. */
const longest = 2 ** 31 - 1;

/**
 * Milliseconds from `250`, `250ms`, `30s`, `5m`, `1h`.
 * @throws InvalidArgumentError
 */
export function parseMilliseconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|)$/.exec(text.trim());
  const unit = (match?.[2] ?? '') as keyof typeof timeUnits;
  const milliseconds = Math.round(Number(match?.[1]) * timeUnits[unit]);
  if (!Number.isSafeInteger(milliseconds) || milliseconds < 1 || milliseconds > longest) {
    throw new InvalidArgumentError('It must be a time, such as 500 (milliseconds), 30s or 5m, and under 24 days.');
  }
  return milliseconds;
}

/** Words between commas. */
export function parseList(text: string): string[] {
  return text.split(',').flatMap((word) => word.trim() || []);
}

/** For an option that may be given several times. */
export function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

/** @throws InvalidArgumentError */
export function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count) || count < 1) {
    throw new InvalidArgumentError('It must be a whole number from 1 up.');
  }
  return count;
}

/** @throws InvalidArgumentError */
export function parseShare(text: string): number {
  const share = Number(text);
  if (!/^(?:0|1|0?\.\d+|1\.0*)$/.test(text) || share <= 0) {
    throw new InvalidArgumentError('It must be a part of the whole, from above 0 to 1, such as 0.25.');
  }
  return share;
}

/** @throws InvalidArgumentError */
export function parseCpus(text: string): number {
  const cpus = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || cpus <= 0) {
    throw new InvalidArgumentError('cpus is a number of processors, such as 0.5 or 2.');
  }
  return cpus;
}

/** A parser that also accepts 0, for limits that can be switched off. */
export function orNone(parse: (text: string) => number): (text: string) => number {
  return (text) => (text.trim() === '0' ? 0 : parse(text));
}

/** `1.5 MiB` */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const exponent = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1);
  const value = bytes / 1024 ** exponent;
  return `${exponent === 0 || value >= 100 ? Math.round(value) : value.toFixed(1).replace(/\.0$/, '')} ${units[exponent] ?? ''}`;
}

/** `250 ms`, `3.2 s`, `4 m 10 s`, `2 h 5 m`, `3 d 4 h` */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} m`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

/** `1 file`, `3 files` */
export function formatCount(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
