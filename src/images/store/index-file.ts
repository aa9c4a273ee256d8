// index.json, which says what images a store has. Written under the store's lock; read without, as it is replaced whole.
import { readFile } from 'node:fs/promises';
import { BabelhostError } from '../../base/errors.ts';
import type { Digest } from '../digest.ts';
import { formatIndex, mediaTypes, parseIndexDocument, refNameAnnotation, type Descriptor } from '../documents.ts';
import type { Platform } from '../platform.ts';
import { ifThere, replaceFile, type StoreLayout } from './layout.ts';

/** One image of the index: all descriptors of one manifest together. */
export interface IndexEntry {
  readonly digest: Digest;
  /** Of the manifest, in bytes. */
  readonly size: number;
  readonly platform?: Platform;
  readonly names: readonly string[];
  /** All but the name. */
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Reads the images of a store.
 * @throws BabelhostError `storageDirty` if there is no index.json.
 */
export async function readIndex(layout: StoreLayout): Promise<IndexEntry[]> {
  const bytes = await ifThere(readFile(layout.index));
  if (bytes === undefined) {
    throw new BabelhostError(
      'storageDirty',
      `The store at ${layout.root} has lost its index.json: restore it, or remove the folder and install the images again.`,
      { path: layout.index },
    );
  }
  const entries = new Map<Digest, IndexEntry>();
  for (const descriptor of parseIndexDocument(bytes, `The index of the store at ${layout.root}`)) {
    const { [refNameAnnotation]: name, ...annotations } = descriptor.annotations ?? {};
    const before = entries.get(descriptor.digest);
    const platform = descriptor.platform ?? before?.platform;
    entries.set(descriptor.digest, {
      digest: descriptor.digest,
      size: descriptor.size,
      ...(platform === undefined ? {} : { platform }),
      names: [...(before?.names ?? []), ...(name === undefined ? [] : [name])],
      annotations: { ...before?.annotations, ...annotations },
    });
  }
  return [...entries.values()];
}

/**
 * Replaces the images of a store in one step. An image with several names has a descriptor for each.
 * @param beside - a folder of the same file system for the half-written file.
 */
export async function writeIndex(layout: StoreLayout, entries: readonly IndexEntry[], beside: string): Promise<void> {
  const descriptors = entries.flatMap((entry) => {
    const names: (string | undefined)[] = entry.names.length === 0 ? [undefined] : [...entry.names];
    return names.map((name): Descriptor => {
      const annotations = { ...(name === undefined ? {} : { [refNameAnnotation]: name }), ...entry.annotations };
      return {
        mediaType: mediaTypes.manifest,
        digest: entry.digest,
        size: entry.size,
        ...(entry.platform === undefined ? {} : { platform: entry.platform }),
        ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      };
    });
  });
  await replaceFile(layout.index, formatIndex(descriptors), beside, layout.fileMode);
}

/**
 * The index with `added` in it, which takes its names from other images, and without the `replaced` images. An image's
 * newest names come last.
 */
export function withImage(
  entries: readonly IndexEntry[],
  added: IndexEntry,
  replaced: readonly Digest[],
): IndexEntry[] {
  const before = entries.find(({ digest }) => digest === added.digest);
  const others = entries
    .filter(({ digest }) => digest !== added.digest && !replaced.includes(digest))
    .map((entry) => ({ ...entry, names: entry.names.filter((name) => !added.names.includes(name)) }));
  return [
    ...others,
    {
      ...added,
      names: [...(before?.names ?? []).filter((name) => !added.names.includes(name)), ...added.names],
      annotations: { ...before?.annotations, ...added.annotations },
    },
  ];
}
