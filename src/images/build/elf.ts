// Reads what an ELF file's loader needs: the interpreter and the dynamic section's names. System V ABI, "Program Loading and
// Dynamic Linking". Packages that read ELF leave out the dynamic section, or read whole files.
import type { FileHandle } from 'node:fs/promises';
import { openRegularFile } from '../../base/regular-file.ts';

/** What a program or shared library needs of the loader. */
export interface ElfFile {
  /** Class, byte order and machine together: only files with the same can be loaded into one process. */
  readonly machine: string;
  /** The loader's path, for a program that has one. */
  readonly interpreter?: string;
  readonly needed: readonly string[];
  /** Folders to search, as written, `$ORIGIN` not replaced. */
  readonly rpath: readonly string[];
  readonly runpath: readonly string[];
}

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1;
const DT_STRTAB = 5;
const DT_STRSZ = 10;
const DT_RPATH = 15;
const DT_RUNPATH = 29;

/** Far above real files, against broken and hostile ones. */
const programHeadersLimit = 1024;
const dynamicLimit = 64 * 1024;
const stringsLimit = 16 * 1024 ** 2;
/** PATH_MAX; a list of folders in a RPATH may have as much. */
const stringLimit = 4096;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly address: number;
  readonly size: number;
}

/**
 * Reads an ELF file; undefined if it is none, or a broken one.
 * @throws BabelhostError `imageInvalid` if it is no regular file
 */
export async function readElf(file: string): Promise<ElfFile | undefined> {
  const handle = await openRegularFile(file);
  try {
    const header = await readAt(handle, 0, 64);
    if (header.length < 52 || header.readUInt32BE(0) !== 0x7f454c46) return undefined;
    const wide = header[4] === 2;
    const little = header[5] === 1;
    if ((!wide && header[4] !== 1) || (!little && header[5] !== 2) || (wide && header.length < 64)) return undefined;
    const read = new Fields(wide, little);
    const machine = `${wide ? 64 : 32}${little ? 'le' : 'be'}-${read.half(header, 18)}`;
    const segments = await readSegments(handle, header, read);
    const interpreterSegment = segments.find(({ type }) => type === PT_INTERP);
    const interpreter =
      interpreterSegment === undefined
        ? undefined
        : untilNul(await readAt(handle, interpreterSegment.offset, Math.min(interpreterSegment.size, stringLimit)), 0);
    const dynamic = await readDynamic(handle, segments, read);
    return { machine, ...(interpreter === undefined ? {} : { interpreter }), ...dynamic };
  } catch (error) {
    // A read out of bounds: the file is broken.
    if (error instanceof RangeError) return undefined;
    throw error;
  } finally {
    await handle.close();
  }
}

async function readSegments(handle: FileHandle, header: Buffer, read: Fields): Promise<Segment[]> {
  const table = read.wide ? read.word(header, 32) : read.word(header, 28);
  const entrySize = read.half(header, read.wide ? 54 : 42);
  const count = read.half(header, read.wide ? 56 : 44);
  if (count > programHeadersLimit || entrySize < (read.wide ? 56 : 32)) return [];
  const bytes = await readAt(handle, table, entrySize * count);
  return Array.from({ length: count }, (_, index) => {
    const at = index * entrySize;
    return read.wide
      ? {
          type: read.integer(bytes, at),
          offset: read.word(bytes, at + 8),
          address: read.word(bytes, at + 16),
          size: read.word(bytes, at + 32),
        }
      : {
          type: read.integer(bytes, at),
          offset: read.word(bytes, at + 4),
          address: read.word(bytes, at + 8),
          size: read.word(bytes, at + 16),
        };
  });
}

async function readDynamic(
  handle: FileHandle,
  segments: readonly Segment[],
  read: Fields,
): Promise<Pick<ElfFile, 'needed' | 'rpath' | 'runpath'>> {
  const none = { needed: [], rpath: [], runpath: [] };
  const segment = segments.find(({ type }) => type === PT_DYNAMIC);
  if (segment === undefined || segment.size > dynamicLimit) return none;
  const bytes = await readAt(handle, segment.offset, segment.size);
  const step = read.wide ? 16 : 8;
  const values = new Map<number, number[]>();
  for (let at = 0; at + step <= bytes.length; at += step) {
    const tag = read.word(bytes, at);
    if (tag === 0) break;
    const value = read.word(bytes, at + step / 2);
    values.set(tag, [...(values.get(tag) ?? []), value]);
  }
  const address = values.get(DT_STRTAB)?.[0];
  const size = values.get(DT_STRSZ)?.[0];
  // The table's address is in memory: its segment tells where that is in the file.
  const load = segments.find(
    (other) =>
      other.type === PT_LOAD &&
      address !== undefined &&
      address >= other.address &&
      address < other.address + other.size,
  );
  if (address === undefined || size === undefined || load === undefined || size > stringsLimit) return none;
  const strings = await readAt(handle, load.offset + (address - load.address), size);
  const names = (tag: number) => (values.get(tag) ?? []).map((offset) => untilNul(strings, offset));
  const folders = (tag: number) => names(tag).flatMap((list) => list.split(':').filter((folder) => folder !== ''));
  return { needed: names(DT_NEEDED), rpath: folders(DT_RPATH), runpath: folders(DT_RUNPATH) };
}

/** Numbers of a file's own width and byte order. */
class Fields {
  readonly wide: boolean;
  readonly #little: boolean;

  constructor(wide: boolean, little: boolean) {
    this.wide = wide;
    this.#little = little;
  }

  half(bytes: Buffer, at: number): number {
    return this.#little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
  }

  integer(bytes: Buffer, at: number): number {
    return this.#little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  }

  /** An address, an offset or a size. Tags with the highest bits set are inexact, and not used here. */
  word(bytes: Buffer, at: number): number {
    if (!this.wide) return this.integer(bytes, at);
    return Number(this.#little ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
  }
}

function untilNul(bytes: Buffer, at: number): string {
  if (at >= bytes.length) throw new RangeError('A string lies outside its table.');
  const end = bytes.subarray(at, at + stringLimit).indexOf(0);
  if (end < 0 && at + stringLimit < bytes.length) throw new RangeError(`A string has more than ${stringLimit} bytes.`);
  return bytes.toString('utf8', at, end < 0 ? bytes.length : at + end);
}

async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  if (!Number.isSafeInteger(offset)) throw new RangeError('An offset lies outside of any file.');
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, offset);
  return buffer.subarray(0, bytesRead);
}
