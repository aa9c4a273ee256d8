// `--limit` of driver install and serve: limits of drivers' containers, under the names that the host has them by.
import { InvalidArgumentError } from 'commander';
import type { Params } from '../protocol/methods.ts';
import { orNone, parseBytes, parseCount, parseMilliseconds } from './quantities.ts';

export type DriverLimits = NonNullable<Params<'driver/install'>['limits']>;

const parsers: { readonly [Name in keyof Required<DriverLimits>]: (text: string) => number } = {
  memoryBytes: parseBytes,
  cpus: parseCpus,
  processes: parseCount,
  openFiles: parseCount,
  fileSizeBytes: parseBytes,
  temporaryBytes: parseBytes,
  runTimeMs: orNone(parseMilliseconds),
};

/** The names, for help. */
export const driverLimitNames = Object.keys(parsers).join(', ');

function parseCpus(text: string): number {
  const cpus = Number(text);
  if (!/^\d*\.?\d+$/.test(text) || cpus <= 0) {
    throw new InvalidArgumentError('cpus is a number of processors, such as 0.5 or 2.');
  }
  return cpus;
}

/**
 * `NAME=VALUE`, added to those that were given before.
 * @throws InvalidArgumentError
 */
export function parseLimit(text: string, before: DriverLimits = {}): DriverLimits {
  const [, name = '', value = ''] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
  if (!Object.hasOwn(parsers, name)) {
    throw new InvalidArgumentError(`It must be NAME=VALUE, such as memoryBytes=512M; names are ${driverLimitNames}.`);
  }
  return { ...before, [name]: parsers[name as keyof typeof parsers](value) };
}

/**
 * `[LANGUAGE:]NAME=VALUE`, added to those that were given before; without a language, for all (`*`).
 * @throws InvalidArgumentError
 */
export function parseLanguageLimit(
  text: string,
  before: Readonly<Record<string, DriverLimits>> = {},
): Record<string, DriverLimits> {
  const [, language = '*', limit = ''] = /^(?:([^=]+):)?(.*)$/s.exec(text) ?? [];
  const key = language.toLowerCase();
  return { ...before, [key]: parseLimit(limit, before[key]) };
}
