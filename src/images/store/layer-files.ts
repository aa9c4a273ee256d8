// Unpacked layers, kept so that the next image with the same layer neither decompresses it again nor takes disk space twice.
// A folder for each diff id has `entries`, the archive's entries as lines of JSON, and the layer's files, numbered, which
// images' roots have hard links to. Entries are replayed through the unpacker, as their effect depends on the layers below.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { systemErrorCode } from '../../base/errors.ts';
import { hexOf, type Digest } from '../digest.ts';
import type { TarEntry, TarSink } from '../tar/entry.ts';
import type { FileOwners } from '../../base/file-owners.ts';
import { TimeSlice } from '../unpack/time-slice.ts';
import type { Unpacker } from '../unpack/unpacker.ts';

/** Incremented when the form changes: layers in another form are unpacked anew. */
const formVersion = 1;

/** Characters of lines that are gathered before they are written. */
const writeSize = 64 * 1024;

/** Bytes that are read at a time. */
const readSize = 64 * 1024;

/** The first line: the form, and the owners that the files' inodes have. */
function heading(owners: FileOwners): string {
  const whose = owners.kind === 'single' ? [owners.kind, process.getuid?.()] : [owners.kind, owners.base, owners.size];
  return JSON.stringify({ form: formVersion, owners: whose });
}

/** Unpacks a layer as its entries come, and keeps them. */
export class LayerRecorder implements TarSink, Disposable {
  readonly #folder: string;
  readonly #unpacker: Unpacker;
  readonly #fd: number;
  #lines: string;
  #files = 0;

  /** @param folder - an empty folder to keep it in. */
  constructor(folder: string, unpacker: Unpacker, owners: FileOwners) {
    this.#folder = folder;
    this.#unpacker = unpacker;
    this.#fd = openSync(path.join(folder, 'entries'), 'wx', 0o600);
    this.#lines = `${heading(owners)}\n`;
  }

  entry(entry: TarEntry): void {
    // A sparse file's map can be long, and is of no use once the file is written.
    this.#lines += `${JSON.stringify({ ...entry, segments: undefined })}\n`;
    if (this.#lines.length > writeSize) this.finish();
    const isFile = entry.kind === 'file';
    if (isFile) this.#files += 1;
    const file = path.join(this.#folder, String(this.#files));
    this.#unpacker.entry(entry, isFile ? { file, filled: false } : undefined);
  }

  data(piece: Buffer, position: number): void {
    this.#unpacker.data(piece, position);
  }

  end(): void {
    this.#unpacker.end();
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  /** Writes what is left, once the layer is complete. */
  finish(): void {
    const bytes = Buffer.from(this.#lines);
    this.#lines = '';
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done);
  }
}

/**
 * Unpacks a layer that is kept in `layers`.
 * @returns false if it is not, or is kept for other owners: then nothing was done.
 */
export async function replayLayer(
  layers: string,
  diffId: Digest,
  unpacker: Unpacker,
  owners: FileOwners,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const folder = path.join(layers, hexOf(diffId));
  let fd;
  try {
    fd = openSync(path.join(folder, 'entries'), 'r');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
  try {
    const turn = new TimeSlice();
    let line = 0;
    let files = 0;
    for (const text of linesOf(fd)) {
      line += 1;
      if (line === 1) {
        if (text !== heading(owners)) return false;
        continue;
      }
      // Trusted: we wrote it, of an archive that was verified, in a folder of this user only.
      const entry = JSON.parse(text) as TarEntry;
      const isFile = entry.kind === 'file';
      if (isFile) files += 1;
      unpacker.entry(entry, isFile ? { file: path.join(folder, String(files)), filled: true } : undefined);
      if (turn.isOver()) {
        await turn.pass();
        signal?.throwIfAborted();
      }
    }
    return line > 0;
  } finally {
    closeSync(fd);
  }
}

/** The lines of a file, read synchronously as the entries are replayed. */
function* linesOf(fd: number): Generator<string> {
  const decoder = new StringDecoder('utf8');
  const piece = Buffer.allocUnsafe(readSize);
  let rest = '';
  for (let length = readSync(fd, piece); length > 0; length = readSync(fd, piece)) {
    const lines = (rest + decoder.write(piece.subarray(0, length))).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  rest += decoder.end();
  if (rest !== '') yield rest;
}
