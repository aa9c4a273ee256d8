// PAX extended headers: `length key=value\n` records. POSIX.1-2017 pax, "pax Extended Header". Only keys that change what is
// unpacked are read, GNU's for sparse files among them (GNU tar manual, "Storing Sparse Files").
import { ArchiveError, type Segment } from './entry.ts';

/** What extended headers override in the header that follows them. */
export interface Extension {
  path?: string;
  link?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  attributes?: string[];
  sparse?: SparseExtension;
}

/** GNU's sparse keys. With `mapInData`, the map stands before the data (form 1.0). */
export interface SparseExtension {
  realSize?: number;
  mapInData?: boolean;
  segments?: Segment[];
}

/** Reads the records of one extended header into `into`; later records win. */
export function readExtension(data: Buffer, into: Extension): void {
  let offsets: number[] | undefined;
  let at = 0;
  while (at < data.length) {
    // A record's length counts itself. Values may contain anything, line ends too.
    const space = data.indexOf(0x20, at);
    const digits = space < 0 ? '' : data.toString('latin1', at, space);
    if (!/^\d{1,10}$/.test(digits)) {
      // Some writers pad the header with NULs.
      if (data.subarray(at).every((byte) => byte === 0)) return;
      throw new ArchiveError('an extended header has a record without a length');
    }
    const end = at + Number(digits);
    if (end > data.length || end <= space + 1 || data[end - 1] !== 0x0a) {
      throw new ArchiveError('an extended header has a record whose length is wrong');
    }
    const equals = data.indexOf(0x3d, space);
    if (equals < 0 || equals >= end) throw new ArchiveError("an extended header has a record without '='");
    const key = data.toString('latin1', space + 1, equals);
    const value = data.toString('latin1', equals + 1, end - 1);
    at = end;
    switch (key) {
      case 'path':
      case 'GNU.sparse.name':
        // Sparse files have a made-up `path`; GNU.sparse.name, which may come before or after it, wins.
        if (key === 'GNU.sparse.name') into.sparse = { ...into.sparse };
        else if (into.sparse !== undefined && into.path !== undefined) break;
        into.path = named(value, key);
        break;
      case 'linkpath':
        into.link = named(value, key);
        break;
      case 'size':
        into.size = whole(value, key);
        break;
      case 'uid':
        into.uid = whole(value, key);
        break;
      case 'gid':
        into.gid = whole(value, key);
        break;
      case 'mtime':
        into.mtime = seconds(value, key);
        break;
      case 'GNU.sparse.size':
      case 'GNU.sparse.realsize':
        into.sparse = { ...into.sparse, realSize: whole(value, key) };
        break;
      case 'GNU.sparse.major':
        if (value === '1') into.sparse = { ...into.sparse, mapInData: true };
        else if (value !== '0') throw new ArchiveError(`a sparse file is stored in an unknown form (${value})`);
        break;
      case 'GNU.sparse.map':
        into.sparse = { ...into.sparse, segments: pairs(value.split(',').map((part) => whole(part, key))) };
        break;
      case 'GNU.sparse.offset':
      case 'GNU.sparse.numbytes':
        // Form 0.0 repeats this pair of keys for each segment.
        offsets ??= [];
        offsets.push(whole(value, key));
        break;
      default:
        if (key.startsWith('SCHILY.xattr.')) (into.attributes ??= []).push(key.slice('SCHILY.xattr.'.length));
    }
  }
  if (offsets !== undefined) into.sparse = { ...into.sparse, segments: pairs(offsets) };
}

/** Numbers in pairs, as the sparse maps have them. */
export function pairs(numbers: readonly number[]): Segment[] {
  if (numbers.length % 2 !== 0) throw new ArchiveError('the map of a sparse file has half a segment');
  const segments: Segment[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    segments.push({ offset: numbers[index] ?? 0, length: numbers[index + 1] ?? 0 });
  }
  return segments;
}

/** A non-negative whole number in decimal digits. */
export function whole(text: string, key: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value))
    throw new ArchiveError(`an extended header has a ${key} that is no number, or too large`);
  return value;
}

function seconds(text: string, key: string): number {
  if (!/^-?\d{1,16}(?:\.\d*)?$/.test(text)) throw new ArchiveError(`an extended header has a ${key} that is no number`);
  return Number(text);
}

function named(value: string, key: string): string {
  if (value === '' || value.includes('\0')) throw new ArchiveError(`an extended header has a ${key} that is no name`);
  return value;
}
