// Limits that are given as NAME=VALUE, under the names that the host has them by: `--limit` of driver install and serve,
// and `--image-limit` of every command.
import { InvalidArgumentError } from 'commander';
import type { HostOptions } from '../host.ts';
import type { Params } from '../protocol/methods.ts';
import { orNone, parseBytes, parseCount, parseCpus, parseMilliseconds } from './quantities.ts';

/** A parser for each limit. */
type Parsers<Limits> = { readonly [Name in keyof Required<Limits>]: (text: string) => number };

export type DriverLimits = NonNullable<Params<'driver/install'>['limits']>;

const driverParsers: Parsers<DriverLimits> = {
  memoryBytes: parseBytes,
  cpus: parseCpus,
  processes: parseCount,
  openFiles: parseCount,
  fileSizeBytes: parseBytes,
  temporaryBytes: parseBytes,
  runTimeMs: orNone(parseMilliseconds),
};

export type ImageLimits = NonNullable<HostOptions['imageLimits']>;

const imageParsers: Parsers<ImageLimits> = {
  manifestBytes: parseBytes,
  configBytes: parseBytes,
  layers: parseCount,
  compressedBytes: parseBytes,
  unpackedBytes: parseBytes,
  ratio: parseCount,
  ratioFreeBytes: parseBytes,
  entries: parseCount,
  nameBytes: parseBytes,
  pathBytes: parseBytes,
  extendedHeaderBytes: parseBytes,
  images: parseCount,
};

/** The names, for help. */
export const driverLimitNames = Object.keys(driverParsers).join(', ');
export const imageLimitNames = Object.keys(imageParsers).join(', ');

/**
 * An option's parser for `NAME=VALUE`, which adds to the limits that were given before.
 * @throws InvalidArgumentError
 */
function limitParser<Limits extends object>(parsers: Parsers<Limits>, example: string, names: string) {
  return (text: string, before: Partial<Limits> = {}): Partial<Limits> => {
    const [, name = '', value = ''] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
    if (!Object.hasOwn(parsers, name)) {
      throw new InvalidArgumentError(`It must be NAME=VALUE, such as ${example}; names are ${names}.`);
    }
    return { ...before, [name]: parsers[name as keyof Limits](value) };
  };
}

export const parseDriverLimit = limitParser<DriverLimits>(driverParsers, 'memoryBytes=512M', driverLimitNames);
export const parseImageLimit = limitParser<ImageLimits>(imageParsers, 'unpackedBytes=64G', imageLimitNames);

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
  return { ...before, [key]: parseDriverLimit(limit, before[key]) };
}
