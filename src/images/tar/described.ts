// What a header and the extended headers before it say of an entry, taken together.
import { ArchiveError, type EntryKind, type Segment, type TarEntry } from './entry.ts';
import type { Extension } from './extended.ts';
import type { RawHeader } from './header.ts';

const kinds: Readonly<Record<string, EntryKind>> = {
  '0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardLink',
  '2': 'symbolicLink',
  '3': 'characterDevice',
  '4': 'blockDevice',
  '5': 'directory',
  '6': 'fifo',
};

/** An entry before its content; of a sparse file, its map may stand before that. */
export interface DescribedEntry {
  /** All but what a sparse file's map says. */
  readonly entry: TarEntry;
  /** Bytes that follow in the archive. */
  readonly stored: number;
  /** Of a sparse file: its length, holes included, and where its map is. */
  readonly sparse?: {
    readonly realSize: number | undefined;
    readonly segments: readonly Segment[] | 'in data';
  };
}

/**
 * Puts together what is said of an entry.
 * @throws ArchiveError if that is nothing that could be unpacked.
 */
export function describeEntry(header: RawHeader, extension: Extension, maxPathBytes: number): DescribedEntry {
  const name = extension.path ?? header.name;
  const link = extension.link ?? header.link;
  let kind = kinds[header.type];
  if (kind === undefined) throw new ArchiveError(`an entry has the type '${header.type}', which is not known`);
  if (name === '') throw new ArchiveError('an entry has no name');
  if (name.length > maxPathBytes || link.length > maxPathBytes) {
    throw new ArchiveError(`an entry has a name of more than ${maxPathBytes} bytes (the limit 'pathBytes')`);
  }
  // V7 had no type for directories.
  if (kind === 'file' && name.endsWith('/')) kind = 'directory';
  // As for a link, what the header says of its size is the size of what it links to: nothing is stored.
  const stored = kind === 'file' ? (extension.size ?? header.size) : 0;
  const entry: TarEntry = {
    kind,
    name,
    link: kind === 'hardLink' || kind === 'symbolicLink' ? link : '',
    mode: header.mode,
    uid: extension.uid ?? header.uid,
    gid: extension.gid ?? header.gid,
    mtime: extension.mtime ?? header.mtime,
    attributes: extension.attributes ?? [],
    size: stored,
  };
  const sparse = kind === 'file' ? extension.sparse : undefined;
  const segments = sparse?.mapInData === true ? 'in data' : sparse?.segments;
  if (segments === undefined) return { entry, stored };
  return { entry, stored, sparse: { realSize: sparse?.realSize, segments } };
}
