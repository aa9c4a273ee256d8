// Content digests. OCI image spec, "Descriptors / Digests". Only sha256, which every registry and tool has; sha512 is optional
// by the spec.
import { createHash, type Hash } from 'node:crypto';
import { BabelhostError } from '../base/errors.ts';

declare const brand: unique symbol;

/** `sha256:` and 64 lower-case hexadecimal digits. Checked where it enters (parseDigest), trusted afterwards. */
export type Digest = `sha256:${string}` & { readonly [brand]: 'Digest' };

const pattern = /^sha256:[0-9a-f]{64}$/;

/** Whether `text` is a digest as this store uses them. */
export function isDigest(text: string): text is Digest {
  return pattern.test(text);
}

/**
 * Checks a digest.
 * @throws BabelhostError `imageInvalid` if it is not sha256 with 64 lower-case hexadecimal digits.
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new BabelhostError('imageInvalid', `'${text.slice(0, 100)}' is not a digest: ${digestForm(text)}.`, {
    digest: text.slice(0, 200),
    reason: 'digest',
  });
}

/** The end of a message about `text`, which is no digest. */
export function digestForm(text: string): string {
  const form = 'sha256: and 64 hexadecimal digits in lower case';
  return text.startsWith('sha512:')
    ? `sha512 is not supported; name the image by its tag, or by its sha256 digest (${form})`
    : `a digest is ${form}`;
}

/** The 64 digits, which are also the name of the blob's file. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

/** The digest of bytes already in memory. */
export function digestOf(bytes: Uint8Array | string): Digest {
  return finish(createHash('sha256').update(bytes));
}

/** The digest of a sha256 `hash`, which cannot be used afterwards. */
export function finish(hash: Hash): Digest {
  return `sha256:${hash.digest('hex')}` as Digest;
}

/** The error for bytes with another digest; `what` begins a sentence ('Layer 3', 'The manifest'). */
export function digestMismatch(what: string, expected: Digest, actual: Digest): BabelhostError {
  return new BabelhostError(
    'digestMismatch',
    `${what} should have the digest ${expected} but has ${actual}: it was damaged or replaced on its way. Fetch it again, and if that gives the same, ask whoever published the image.`,
    { expected, actual },
  );
}
