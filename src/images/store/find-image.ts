// Finds images in a store's index by what people call them.
import { BabelhostError } from '../../base/errors.ts';
import { isDigest } from '../digest.ts';
import { formatName, parseName } from '../reference.ts';
import type { IndexEntry } from './index-file.ts';

/**
 * The image of a digest, of a beginning of one, or of a name, which may be short.
 * @throws BabelhostError `imageNotFound` if several digests begin so.
 */
export function findEntry(entries: readonly IndexEntry[], nameOrDigest: string): IndexEntry | undefined {
  const exact = entries.find(({ digest, names }) => digest === nameOrDigest || names.includes(nameOrDigest));
  if (exact !== undefined || isDigest(nameOrDigest)) return exact;
  return findNamed(entries, nameOrDigest) ?? findByDigestStart(entries, nameOrDigest);
}

function findNamed(entries: readonly IndexEntry[], name: string): IndexEntry | undefined {
  let full: string;
  try {
    full = formatName(parseName(name));
  } catch {
    // Not a name of an image, so no image has it.
    return undefined;
  }
  return entries.find(({ names }) => names.includes(full));
}

/** The one whose digest begins so, with the algorithm before it or not. */
function findByDigestStart(entries: readonly IndexEntry[], text: string): IndexEntry | undefined {
  const start = /^(?:sha256:)?([0-9a-f]{4,63})$/.exec(text)?.[1];
  if (start === undefined) return undefined;
  const [found, another] = entries.filter(({ digest }) => digest.startsWith(`sha256:${start}`));
  if (another === undefined) return found;
  throw new BabelhostError(
    'imageNotFound',
    `The digests of several images in the store begin with ${start}: give more of the one you mean.`,
    { image: text, reason: 'ambiguous' },
  );
}

/** The error for an image that is not there. */
export function notInStore(image: string): BabelhostError {
  return new BabelhostError(
    'imageNotFound',
    `There is no image ${image} in the store: see 'babelhost image list' for those there are.`,
    { image },
  );
}
