// index.json, the one place that says which images the store has. Read without a lock, as it is only ever replaced whole;
// written under the store's lock.
import { BabelhostError } from '../../base/errors.ts';
import type { Digest } from '../digest.ts';
import { formatIndex, mediaTypes, parseIndexDocument, refNameAnnotation, type Descriptor } from '../documents.ts';
import type { Platform } from '../platform.ts';
import { readOwnFile, replaceFile, type StoreLayout } from './layout.ts';

/** What the index says of one image: all descriptors of one manifest taken together. */
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
export function readIndex(layout: StoreLayout): Promise<IndexEntry[]> {
  return Promise.resolve().then(() => readEntries(layout));
}

function readEntries(layout: StoreLayout): IndexEntry[] {
  const bytes = readOwnFile(layout.index);
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
 * Writes the images of a store, in one step. The layout gives a name to a descriptor, so an image with several names has
 * one descriptor for each.
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
 * The index with `added` in it: its names now mean it and no other image, and `replaced` images are gone from it. Of an
 * image's names, those that it was given last come last.
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
