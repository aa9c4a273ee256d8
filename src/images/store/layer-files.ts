// What a layer unpacked to, kept so that the next image with the same layer neither decompresses it again nor takes its
// disk blocks twice. A folder for each diff id: `entries`, the archive's entries as lines of JSON, and a file for each file
// of the layer, numbered, of which images' roots have hard links. Entries are replayed through the same unpacker as an
// archive's, since what they do depends on the layers below.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import { systemErrorCode } from '../../base/errors.ts';
import { hexOf, type Digest } from '../digest.ts';
import type { FileOwners } from '../file-owners.ts';
import type { TarEntry, TarSink } from '../tar/entry.ts';
import { TimeSlice } from '../unpack/time-slice.ts';
import type { Unpacker } from '../unpack/unpacker.ts';

/** Changes when what is kept changes its form: what is of another form is unpacked anew. */
const formVersion = 1;

/** Lines are written together once there are so many characters of them. */
const writeSize = 64 * 1024;

/** Lines are read in pieces of so many bytes. */
const readSize = 64 * 1024;

/** For how long the event loop is kept, in milliseconds: meanwhile the layer above may be fetched and decompressed. */
const replayTurnMs = 1;

/** The first line: what the files were made for. Owners are in their inodes. */
function heading(owners: FileOwners): string {
  const whose = owners.kind === 'single' ? [owners.kind, process.getuid?.()] : [owners.kind, owners.base, owners.size];
  return JSON.stringify({ form: formVersion, owners: whose });
}

/** Unpacks a layer as its entries come, and keeps them. */
export class LayerRecorder implements TarSink, Disposable {
  readonly folder: string;
  readonly #unpacker: Unpacker;
  readonly #fd: number;
  #lines: string;
  #files = 0;

  private constructor(folder: string, unpacker: Unpacker, owners: FileOwners) {
    this.folder = folder;
    this.#unpacker = unpacker;
    this.#fd = openSync(path.join(folder, 'entries'), 'wx', 0o600);
    this.#lines = `${heading(owners)}\n`;
  }

  /** @param folder - where to keep it; made here. */
  static async start(folder: string, unpacker: Unpacker, owners: FileOwners): Promise<LayerRecorder> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return new LayerRecorder(folder, unpacker, owners);
  }

  entry(entry: TarEntry): void {
    // Where a sparse file's bytes belong is of no use once they are there, and can be long.
    this.#lines += `${JSON.stringify({ ...entry, segments: undefined })}\n`;
    if (this.#lines.length > writeSize) this.#write();
    this.#unpacker.entry(entry, entry.kind === 'file' ? { file: this.#next(), filled: false } : undefined);
  }

  data(piece: Buffer, position: number): void {
    this.#unpacker.data(piece, position);
  }

  end(): void {
    this.#unpacker.end();
  }

  /** Says that the layer is complete. */
  finish(): void {
    this.#write();
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #next(): string {
    this.#files += 1;
    return path.join(this.folder, String(this.#files));
  }

  #write(): void {
    const bytes = Buffer.from(this.#lines);
    this.#lines = '';
    for (let done = 0; done < bytes.length;) done += writeSync(this.#fd, bytes, done);
  }
}

/**
 * Unpacks a layer from what is kept of it in `layers`.
 * @returns false if nothing is, or something for other owners: then nothing was done.
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
    const turn = new TimeSlice(replayTurnMs);
    let line = 0;
    let files = 0;
    for (const text of linesOf(fd)) {
      line += 1;
      if (line === 1) {
        if (text !== heading(owners)) return false;
        continue;
      }
      // Written by us, under a digest that was verified, in a folder that is ours alone.
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

/** The lines of a file, which are read at once, as what is done with them is. */
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
