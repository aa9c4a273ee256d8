// What every transport gives: an image's documents and blobs by descriptor. A source hands out bytes; whoever asked
// verifies them.
import type { Descriptor } from '../documents.ts';
import type { Digest } from '../digest.ts';

/** Where the resolving of an image begins. */
export type SourceTop =
  /** A document, fetched already; with its digest where the reference named one, to be verified. */
  | { readonly kind: 'document'; readonly bytes: Buffer; readonly digest?: Digest }
  /** The entries that carry the reference's name: one, or one for each platform. */
  | { readonly kind: 'descriptors'; readonly descriptors: readonly Descriptor[] };

export interface BlobOptions {
  readonly signal?: AbortSignal | undefined;
}

/** An opened image, at any transport. */
export interface ImageSource extends AsyncDisposable {
  /** The reference, as messages name it. */
  readonly name: string;
  top(signal?: AbortSignal): Promise<SourceTop>;
  /**
   * The bytes of a manifest, an index or a configuration, at most `descriptor.size` and one more.
   * @throws BabelhostError `imageNotFound` if the source does not have it.
   */
  document(descriptor: Descriptor, signal?: AbortSignal): Promise<Buffer>;
  /** The bytes of a layer, as they come. A source may give more or fewer than the descriptor says. */
  blob(descriptor: Descriptor, options: BlobOptions): AsyncIterable<Uint8Array>;
}
