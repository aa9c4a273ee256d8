// The entries of a tar archive. Names are bytes, kept as strings of one character a byte (latin1), as they may not be UTF-8.

export type EntryKind = 'file' | 'directory' | 'symbolicLink' | 'hardLink' | 'characterDevice' | 'blockDevice' | 'fifo';

/** A run of data in a sparse file, whose rest is zeros. Bytes. */
export interface Segment {
  readonly offset: number;
  readonly length: number;
}

export interface TarEntry {
  readonly kind: EntryKind;
  /** As in the archive, with its slashes and dots; a byte each character. */
  readonly name: string;
  /** The target of a link, '' for others; a byte each character. */
  readonly link: string;
  /** The lower twelve bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of the file as it will be read, holes included. */
  readonly size: number;
  /** Seconds since 1970, with a fraction where the archive has one. */
  readonly mtime: number;
  /** Names of the extended attributes. */
  readonly attributes: readonly string[];
  /** Where the stored bytes of a sparse file belong. */
  readonly segments?: readonly Segment[];
}

/** Receives an archive's entries in order: entry, its data in pieces, end. May throw to stop. */
export interface TarSink {
  entry(entry: TarEntry): void;
  /** A piece of the entry's content, valid during the call only, at `position` bytes from the file's beginning. */
  data(piece: Buffer, position: number): void;
  end(): void;
}

/** A fault of an archive. Callers that know which archive turn it into a BabelhostError. */
export class ArchiveError extends Error {
  override readonly name = 'ArchiveError';
  /** Bytes from the archive's beginning. */
  readonly offset: number | undefined;

  constructor(message: string, offset?: number) {
    super(message);
    this.offset = offset;
  }
}
