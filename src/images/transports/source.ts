// What every transport provides: an image's documents and blobs by descriptor. Their users verify them.
import { BabelhostError } from '../../base/errors.ts';
import type { Digest } from '../digest.ts';
import type { Descriptor } from '../documents.ts';

/** Where the resolving of an image begins. */
export type SourceTop =
  /** A document, fetched already; with its digest where the reference named one, to be verified. */
  | { readonly kind: 'document'; readonly bytes: Buffer; readonly digest?: Digest }
  /** The descriptors with the reference's name: one, or one for each platform. */
  | { readonly kind: 'descriptors'; readonly descriptors: readonly Descriptor[] };

/** An opened image, at any transport. */
export interface ImageSource extends AsyncDisposable {
  /** The reference, for messages. */
  readonly name: string;
  top(signal?: AbortSignal): Promise<SourceTop>;
  /**
   * The bytes of a manifest, an index or a configuration, cut one byte after `descriptor.size`.
   * @throws BabelhostError `imageNotFound` if the source does not have it.
   */
  document(descriptor: Descriptor, signal?: AbortSignal): Promise<Buffer>;
  /** The bytes of a layer, which may be more or fewer than the descriptor says. */
  blob(descriptor: Descriptor, signal?: AbortSignal): AsyncIterable<Uint8Array>;
}

/** The error of a layout or an archive that lacks a part of its image. */
export function missing(name: string, what: string): BabelhostError {
  return new BabelhostError('imageNotFound', `${what} is missing in ${name}: the image there is incomplete.`, {
    reference: name,
    missing: what,
  });
}
