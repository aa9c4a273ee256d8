// Sparse files: their maps, in the forms of the GNU tar manual ("Storing Sparse Files"), and their data.
import { ArchiveError, type Segment, type TarSink } from './entry.ts';
import { pairs, whole } from './extended.ts';
import { blockSize, number } from './header.ts';

/** Refuses a map that overlaps itself, goes beyond the file's end, or does not fit the bytes that are stored. */
export function checkSegments(segments: readonly Segment[], stored: number, realSize: number | undefined): void {
  let end = 0;
  let total = 0;
  for (const segment of segments) {
    if (segment.offset < end) throw new ArchiveError('the segments of a sparse file overlap');
    end = segment.offset + segment.length;
    total += segment.length;
    if (!Number.isSafeInteger(end)) throw new ArchiveError('a segment of a sparse file is too large');
  }
  if (realSize === undefined || end > realSize)
    throw new ArchiveError('the segments of a sparse file go beyond its end');
  if (total !== stored) throw new ArchiveError('the map of a sparse file does not fit its data');
}

/** Passes a sparse file's stored bytes on with their positions. */
export class SparseData {
  readonly #sink: TarSink;
  readonly #segments: readonly Segment[];
  #segment = 0;
  /** Where the next stored byte belongs. */
  #position: number;

  constructor(sink: TarSink, segments: readonly Segment[]) {
    this.#sink = sink;
    this.#segments = segments;
    this.#position = segments[0]?.offset ?? 0;
  }

  data(piece: Buffer): void {
    let at = 0;
    while (at < piece.length) {
      const segment = this.#segments[this.#segment];
      if (segment === undefined) throw new ArchiveError('a sparse file has more data than its map');
      const length = Math.min(segment.offset + segment.length - this.#position, piece.length - at);
      if (length > 0) this.#sink.data(piece.subarray(at, at + length), this.#position);
      at += length;
      this.#position += length;
      if (this.#position === segment.offset + segment.length) {
        this.#segment += 1;
        this.#position = this.#segments[this.#segment]?.offset ?? this.#position;
      }
    }
  }
}

/** GNU's old form: four segments in the header, 21 more in each block after it. */
export class OldSparseMap {
  readonly realSize: number;
  readonly #numbers: number[] = [];
  /** Whether another block of the map follows. */
  continues: boolean;

  constructor(header: Buffer, at: number) {
    this.#read(header, at + 386, 4);
    this.realSize = number(header, at + 483, 12, 'sparse size');
    this.continues = header[at + 482] !== 0;
  }

  add(block: Buffer): void {
    this.#read(block, 0, 21);
    this.continues = block[504] !== 0;
  }

  get segments(): Segment[] {
    return pairs(this.#numbers);
  }

  #read(from: Buffer, offset: number, count: number): void {
    for (let index = 0; index < count; index += 1) {
      const place = offset + index * 24;
      if (from[place] === 0) break;
      this.#numbers.push(number(from, place, 12, 'sparse offset'), number(from, place + 12, 12, 'sparse length'));
    }
  }
}

/** GNU's form 1.0: before the data, the number of segments and their numbers, a line each, padded to a block. */
export class LeadingSparseMap {
  readonly #blocks: string[] = [];
  #lines = 0;
  #count: number | undefined;

  /** Takes a block; gives the map once it is complete. */
  add(block: Buffer): Segment[] | undefined {
    const text = block.toString('latin1');
    this.#count ??= whole(text.slice(0, Math.max(0, text.indexOf('\n'))), 'GNU.sparse map');
    this.#blocks.push(text);
    this.#lines += text.split('\n').length - 1;
    const wanted = 1 + this.#count * 2;
    if (this.#lines < wanted) return undefined;
    const lines = this.#blocks.join('').split('\n', wanted);
    return pairs(lines.slice(1).map((line) => whole(line, 'GNU.sparse map')));
  }

  /** Bytes taken so far. */
  get length(): number {
    return this.#blocks.length * blockSize;
  }
}
