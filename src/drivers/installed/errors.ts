// What can be wrong with what is installed, and what to do about it.
import { BabelhostError } from '../../base/errors.ts';
import type { Digest } from '../../images/index.ts';

/** More than one image serves a language. */
export function dirty(language: string, images: readonly { readonly digest: string }[]): BabelhostError {
  return new BabelhostError(
    'storageDirty',
    `The store holds ${images.length} driver images for ${language}, where there must be one; remove them (babelhost driver remove ${language}) and install the one you want.`,
    { language, digests: images.map((image) => image.digest) },
  );
}

export function alreadyInstalled(language: string, digest: Digest, reference: string | undefined): BabelhostError {
  return new BabelhostError(
    'driverAlreadyInstalled',
    `A driver for ${language} is installed already; give update (--update) to put this one in its place.`,
    { language, digest, reference },
  );
}

export function notInstalled(name: string): BabelhostError {
  return new BabelhostError(
    'driverNotInstalled',
    `No driver for ${name} is installed; install one with 'babelhost driver install REFERENCE' ('babelhost driver list' shows what there is).`,
    { language: name },
  );
}
