// Decodes tar headers (ustar, GNU, and the old V7 form; POSIX.1-2017 pax, "ustar Interchange Format"), and applies the
// extended headers before them.
import { ArchiveError, type EntryKind, type Segment, type TarEntry } from './entry.ts';
import type { Extension } from './extended.ts';

export const blockSize = 512;

/** A header's fields, extended headers not yet applied. */
export interface RawHeader {
  /** The type flag, one character; NUL is a file of the V7 form. */
  readonly type: string;
  readonly name: string;
  readonly link: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
}

/**
 * Decodes the header at `at`; undefined for a block of zeros.
 * @throws ArchiveError for a wrong checksum or a number that is none.
 */
export function decodeHeader(block: Buffer, at: number): RawHeader | undefined {
  if (!checksumHolds(block, at)) return undefined;
  const magic = block.toString('latin1', at + 257, at + 263);
  const name = field(block, at, 100);
  // Only in POSIX's form: GNU's has times there, V7's nothing.
  const prefix = magic === 'ustar\0' ? field(block, at + 345, 155) : '';
  return {
    type: block.toString('latin1', at + 156, at + 157),
    name: prefix === '' ? name : `${prefix}/${name}`,
    link: field(block, at + 157, 100),
    mode: number(block, at + 100, 8, 'mode') & 0o7777,
    uid: number(block, at + 108, 8, 'uid'),
    gid: number(block, at + 116, 8, 'gid'),
    size: number(block, at + 124, 12, 'size'),
    mtime: number(block, at + 136, 12, 'mtime', true),
  };
}

const kinds: Readonly<Record<string, EntryKind>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardLink',
  '2': 'symbolicLink',
  '3': 'characterDevice',
  '4': 'blockDevice',
  '5': 'directory',
  '6': 'fifo',
};

/** An entry before its content, which of a sparse file may begin with its map. */
export interface DescribedEntry {
  /** Without a sparse file's map. */
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
 * Applies extended headers to a header.
 * @throws ArchiveError if the result cannot be unpacked.
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
  // V7 had no type for directories. Of all other types a slash at the end says nothing, as in Go's reader, which other
  // programs read images with: what is a file has its content.
  if (header.type === '\0' && name.endsWith('/')) kind = 'directory';
  // Of a link, the header's size is its target's, and nothing is stored.
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

/** False for a block of zeros, which ends an archive; throws for a wrong checksum. */
function checksumHolds(block: Buffer, at: number): boolean {
  let unsigned = 0;
  let signed = 0;
  let any = 0;
  for (let index = 0; index < blockSize; index += 1) {
    const byte = block[at + index] ?? 0;
    any |= byte;
    // The checksum's own field counts as spaces.
    const counted = index >= 148 && index < 156 ? 0x20 : byte;
    unsigned += counted;
    signed += counted > 127 ? counted - 256 : counted;
  }
  if (any === 0) return false;
  const stored = number(block, at + 148, 8, 'checksum');
  // Some old programs added the bytes as signed ones.
  if (stored !== unsigned && stored !== signed) throw new ArchiveError('the checksum of a header is wrong');
  return true;
}

/** A text field up to its first NUL. */
export function field(block: Buffer, at: number, length: number): string {
  const text = block.toString('latin1', at, at + length);
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

/** A number: octal in ASCII, or binary with the highest bit set (GNU's form for larger ones). */
export function number(block: Buffer, at: number, length: number, what: string, negative = false): number {
  const first = block[at] ?? 0;
  if ((first & 0x80) !== 0) {
    // Two's complement, big-endian, over all bytes; the first byte's highest bit only marks the form.
    let value = BigInt(first & 0x7f);
    for (let index = 1; index < length; index += 1) value = (value << 8n) | BigInt(block[at + index] ?? 0);
    const bits = BigInt(length * 8 - 1);
    if ((first & 0x40) !== 0) value -= 1n << bits;
    const result = Number(value);
    if (!Number.isSafeInteger(result)) throw new ArchiveError(`the ${what} in a header is too large`);
    if (result < 0 && !negative) throw new ArchiveError(`the ${what} in a header is negative`);
    return result;
  }
  const text = field(block, at, length).trim();
  if (text === '') return 0;
  if (!/^[0-7]+$/.test(text)) throw new ArchiveError(`the ${what} in a header is no number`);
  return Number.parseInt(text, 8);
}
