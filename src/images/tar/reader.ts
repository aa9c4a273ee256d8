// Reads a tar archive as it comes, strictly and within limits: it may be from anybody. What the libraries' readers make of
// such archives: docs/decisions.md, "Reading archives".
import { ArchiveError, type Segment, type TarEntry, type TarSink } from './entry.ts';
import { readExtension, type Extension } from './extended.ts';
import { blockSize, decodeHeader, describeEntry, type RawHeader } from './header.ts';
import { checkSegments, LeadingSparseMap, OldSparseMap, SparseData } from './sparse.ts';

export interface TarReaderLimits {
  /** Of all extended headers before one entry. */
  readonly extendedHeaderBytes: number;
  readonly pathBytes: number;
}

/** What the bytes that come next are. */
type Expecting =
  | { readonly what: 'header' }
  | { readonly what: 'collect'; readonly use: (bytes: Buffer) => void; readonly pieces: Buffer[] }
  | { readonly what: 'file' };

/** A push parser: `write` each chunk, then `finish`. Entries go to the sink during the call. */
export class TarReader {
  readonly #sink: TarSink;
  readonly #limits: TarReaderLimits;
  /** The part of a header that came at the end of a chunk. */
  readonly #partial = Buffer.alloc(blockSize);
  #partialLength = 0;
  #expecting: Expecting = { what: 'header' };
  /** Bytes of the current data still to come, and of the padding after them. */
  #remaining = 0;
  #padding = 0;
  #offset = 0;
  #extension: Extension = {};
  /** Bytes of the extended headers since the last entry. */
  #extensionBytes = 0;
  /** Where the next stored byte of the current file belongs. */
  #position = 0;
  #sparse: SparseData | undefined;
  #zeroBlocks = 0;
  #ended = false;

  constructor(sink: TarSink, limits: TarReaderLimits) {
    this.#sink = sink;
    this.#limits = limits;
  }

  /**
   * Reads the next bytes of the archive.
   * @param enough - called before each header; true stops there. An archive decides how much work its bytes make.
   * @returns how many bytes were read: all, unless stopped.
   * @throws ArchiveError if it is not a tar archive, or goes over a limit; and whatever the sink throws.
   */
  write(chunk: Buffer, enough?: () => boolean): number {
    let at = 0;
    while (at < chunk.length) {
      // After the end marker (two blocks of zeros) comes padding of tape records, or what we ignore.
      if (this.#ended) return chunk.length;
      if (this.#remaining > 0) at += this.#data(chunk, at);
      else if (this.#padding > 0) {
        const length = Math.min(this.#padding, chunk.length - at);
        this.#padding -= length;
        this.#offset += length;
        at += length;
      } else if (at > 0 && enough?.() === true) return at;
      else at += this.#header(chunk, at);
    }
    return at;
  }

  /**
   * Ends the archive, which may lack the end marker (many do) and the last entry's padding (`umoci insert`).
   * @throws ArchiveError if it ends within an entry.
   */
  finish(): void {
    if (this.#remaining > 0 || this.#partialLength > 0) {
      throw new ArchiveError('the archive ends in the middle of an entry', this.#offset);
    }
    if (Object.keys(this.#extension).length > 0) {
      throw new ArchiveError('the archive ends after an extended header', this.#offset);
    }
  }

  /** Takes the current file's data and padding as read, for callers that seek. */
  skipData(): void {
    this.#offset += this.#remaining + this.#padding;
    this.#remaining = 0;
    this.#padding = 0;
  }

  #header(chunk: Buffer, at: number): number {
    if (this.#partialLength === 0 && chunk.length - at >= blockSize) {
      this.#offset += blockSize;
      this.#take(chunk, at);
      return blockSize;
    }
    const length = Math.min(blockSize - this.#partialLength, chunk.length - at);
    chunk.copy(this.#partial, this.#partialLength, at, at + length);
    this.#partialLength += length;
    this.#offset += length;
    if (this.#partialLength === blockSize) {
      this.#partialLength = 0;
      this.#take(this.#partial, 0);
    }
    return length;
  }

  #take(block: Buffer, at: number): void {
    const header = this.#atHeader(() => decodeHeader(block, at));
    if (header === undefined) {
      this.#zeroBlocks += 1;
      if (this.#zeroBlocks === 2) this.#ended = true;
      return;
    }
    if (this.#zeroBlocks > 0) throw new ArchiveError('an entry follows a block of zeros', this.#offset - blockSize);
    switch (header.type) {
      case 'x':
        this.#collect(header.size, (bytes) => {
          readExtension(bytes, this.#extension);
        });
        return;
      case 'g':
        // Global headers have comments (git archive's commit): a path or size for all entries makes no sense.
        this.#collect(header.size, (bytes) => {
          readExtension(bytes, {});
        });
        return;
      case 'L':
        this.#collect(header.size, (bytes) => {
          this.#extension.path = untilNul(bytes);
        });
        return;
      case 'K':
        this.#collect(header.size, (bytes) => {
          this.#extension.link = untilNul(bytes);
        });
        return;
      case 'S':
        this.#oldSparse(header, block, at);
        return;
      default:
        this.#begin(header);
    }
  }

  #begin(header: RawHeader): void {
    const extension = this.#extension;
    this.#extension = {};
    this.#extensionBytes = 0;
    const { entry, stored, sparse } = this.#atHeader(() => describeEntry(header, extension, this.#limits.pathBytes));
    this.#padding = padding(stored);
    if (sparse?.segments === 'in data') this.#mapInData(entry, sparse.realSize, stored);
    else this.#start(entry, stored, sparse?.realSize, sparse?.segments);
  }

  /** Announces an entry to the sink and expects its content. */
  #start(
    entry: TarEntry,
    stored: number,
    realSize: number | undefined,
    segments: readonly Segment[] | undefined,
  ): void {
    if (segments !== undefined) checkSegments(segments, stored, realSize);
    this.#sparse = segments === undefined ? undefined : new SparseData(this.#sink, segments);
    this.#position = 0;
    this.#remaining = stored;
    this.#expecting = { what: 'file' };
    this.#sink.entry(segments === undefined ? entry : { ...entry, size: realSize ?? stored, segments });
    if (stored === 0) this.#sink.end();
  }

  /** Adds the last header's place to the errors of `use`. */
  #atHeader<Result>(use: () => Result): Result {
    try {
      return use();
    } catch (error) {
      if (error instanceof ArchiveError) throw new ArchiveError(error.message, this.#offset - blockSize);
      throw error;
    }
  }

  #collect(size: number, use: (bytes: Buffer) => void): void {
    // All of an entry's together, as they are kept until it comes.
    this.#extensionBytes += size;
    if (this.#extensionBytes > this.#limits.extendedHeaderBytes) {
      throw new ArchiveError(
        `the extended headers of an entry have ${this.#extensionBytes} bytes, more than ${this.#limits.extendedHeaderBytes} (the limit 'extendedHeaderBytes')`,
        this.#offset - blockSize,
      );
    }
    this.#remaining = size;
    this.#padding = padding(size);
    if (size > 0) this.#expecting = { what: 'collect', use, pieces: [] };
  }

  #data(chunk: Buffer, at: number): number {
    const length = Math.min(this.#remaining, chunk.length - at);
    const piece = chunk.subarray(at, at + length);
    this.#remaining -= length;
    this.#offset += length;
    const expecting = this.#expecting;
    if (expecting.what === 'collect') {
      // A copy, as the chunk's memory may be used again.
      expecting.pieces.push(Buffer.from(piece));
      if (this.#remaining === 0) {
        this.#expecting = { what: 'header' };
        expecting.use(Buffer.concat(expecting.pieces));
      }
    } else if (expecting.what === 'file') {
      if (this.#sparse === undefined) {
        this.#sink.data(piece, this.#position);
        this.#position += length;
      } else this.#sparse.data(piece);
      if (this.#remaining === 0) this.#sink.end();
    }
    return length;
  }

  #oldSparse(header: RawHeader, block: Buffer, at: number): void {
    const map = new OldSparseMap(block, at);
    const next = (left: number) => {
      if (!map.continues) {
        this.#extension.sparse = { realSize: map.realSize, segments: map.segments };
        this.#begin(header);
        return;
      }
      if (left <= 0) throw tooLongMap();
      this.#collectBlock((bytes) => {
        map.add(bytes);
        next(left - blockSize);
      });
    };
    next(this.#limits.extendedHeaderBytes);
  }

  #mapInData(entry: TarEntry, realSize: number | undefined, stored: number): void {
    const after = this.#padding;
    const map = new LeadingSparseMap();
    const more = (left: number) => {
      if (left < blockSize) throw new ArchiveError('a sparse file has no map');
      this.#collectBlock((bytes) => {
        const segments = map.add(bytes);
        if (segments !== undefined) {
          this.#padding = after;
          this.#start(entry, left - blockSize, realSize, segments);
        } else if (map.length > this.#limits.extendedHeaderBytes) throw tooLongMap();
        else more(left - blockSize);
      });
    };
    more(stored);
  }

  #collectBlock(use: (bytes: Buffer) => void): void {
    this.#remaining = blockSize;
    this.#padding = 0;
    this.#expecting = { what: 'collect', use, pieces: [] };
  }
}

function tooLongMap(): ArchiveError {
  return new ArchiveError("the map of a sparse file is over the limit 'extendedHeaderBytes'");
}

function padding(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}

function untilNul(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('latin1', 0, end < 0 ? bytes.length : end);
}
