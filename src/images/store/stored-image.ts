// An image of the store as callers see it, read from the index entry, the manifest and the configuration.
import { readFile } from 'node:fs/promises';
import { BabelhostError, messageOf } from '../../base/errors.ts';
import type { Digest } from '../digest.ts';
import { parseConfig, parseTopDocument, type ImageConfig, type ImageDocument, type Manifest } from '../documents.ts';
import type { Platform } from '../platform.ts';
import type { IndexEntry } from './index-file.ts';
import { blobPath, type StoreLayout } from './layout.ts';

export interface StoredImage {
  /** Of its manifest; the image's identity in the store. */
  readonly digest: Digest;
  readonly names: readonly string[];
  /** What the index notes about it, the name excepted. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Bytes of its blobs: manifest, configuration and layers as they are compressed. */
  readonly size: number;
  readonly platform: Platform;
  /** RFC 3339, if the image says when it was made. */
  readonly created?: string;
  readonly config: ImageConfig;
  /** Lowest first. Sizes in bytes, compressed. */
  readonly layers: readonly { readonly digest: Digest; readonly size: number; readonly mediaType: string }[];
}

/** An image's documents, decoded. */
export interface ImageDocuments {
  readonly manifest: Manifest;
  readonly document: ImageDocument;
}

/**
 * Reads the documents of an image that is in the index.
 * @throws BabelhostError `storageDirty` if they are gone or damaged.
 */
export async function readDocuments({ root }: StoreLayout, digest: Digest): Promise<ImageDocuments> {
  try {
    const top = parseTopDocument(await readFile(blobPath(root, digest)), `The manifest ${digest}`);
    if (top.kind === 'index') throw new Error('it is an index');
    const { manifest } = top;
    const bytes = await readFile(blobPath(root, manifest.config.digest));
    return { manifest, document: parseConfig(bytes, `The configuration ${manifest.config.digest}`) };
  } catch (error) {
    throw new BabelhostError(
      'storageDirty',
      `The image ${digest} is in the index of the store at ${root} but cannot be read (${messageOf(error)}): remove it with 'babelhost image remove ${digest}' and install it again.`,
      { path: root, digest },
      { cause: error },
    );
  }
}

/** Puts an image together from its parts. */
export function storedImage(entry: IndexEntry, { manifest, document }: ImageDocuments): StoredImage {
  const layers = manifest.layers.map(({ digest, size, mediaType }) => ({ digest, size, mediaType }));
  return {
    digest: entry.digest,
    names: entry.names,
    annotations: entry.annotations,
    size: entry.size + manifest.config.size + layers.reduce((sum, layer) => sum + layer.size, 0),
    platform: document.platform,
    ...(document.created === undefined ? {} : { created: document.created }),
    config: document.config,
    layers,
  };
}
