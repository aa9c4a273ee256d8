// `--image-limit` of every command: bounds on what an image may make this machine do, under the names that errors give them.
import { InvalidArgumentError } from 'commander';
import type { HostOptions } from '../host.ts';
import { parseBytes, parseCount } from './quantities.ts';

export type ImageLimits = NonNullable<HostOptions['imageLimits']>;

const parsers: { readonly [Name in keyof Required<ImageLimits>]: (text: string) => number } = {
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
export const imageLimitNames = Object.keys(parsers);

/**
 * `NAME=VALUE`, added to those that were given before.
 * @throws InvalidArgumentError
 */
export function parseImageLimit(text: string, before: ImageLimits = {}): ImageLimits {
  const [, name = '', value = ''] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
  if (!Object.hasOwn(parsers, name)) {
    throw new InvalidArgumentError(
      `It must be NAME=VALUE, such as unpackedBytes=64G; names are ${imageLimitNames.join(', ')}.`,
    );
  }
  return { ...before, [name]: parsers[name as keyof typeof parsers](value) };
}
