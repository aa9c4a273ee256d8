// Sources, as they came with their requests or are named by a URI: these are read whole, within the limits. In the place of a file there may also be a folder, a
// device, or a FIFO that nothing writes to.
import { isUtf8 } from 'node:buffer';
import { constants, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { pathOfFileUri, textOfPath } from '../../base/byte-paths.ts';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { bytesInMemory, type FileReservation } from './file-budget.ts';
import type { Encoding } from '../process/native-protocol.ts';
import { isLocal, readLocalFile } from './local-files.ts';
import { CancelledError } from '../request.ts';

export interface Source {
  /** Its text, or its bytes where they were asked for, or are no text. */
  readonly content: string | Buffer;
  /** As what it was asked for. */
  readonly encoding: Encoding;
  readonly contentBytes: number;
  readonly filename: string | undefined;
  /** Where it was read from. */
  readonly file?: { readonly path: string; readonly uri: string };
  /** The text to detect its language from: of bytes, only the beginning. */
  readonly text: string;
}

/**
 * Reads the source at a URI.
 * @throws BabelhostError what pathOfUri and readSourceFile throw
 */
export async function readSource(
  uri: string,
  { encoding = 'utf8', filename }: { readonly encoding?: Encoding | undefined; readonly filename?: string | undefined },
  limitBytes: number,
  reservation: FileReservation,
): Promise<Source> {
  const file = pathOfUri(uri);
  const name = textOfPath(file);
  const bytes = await readSourceFile(file, uri, limitBytes, reservation);
  const source = { encoding, contentBytes: bytes.length, filename: filename ?? name, file: { path: name, uri } };
  if (encoding === 'base64' || !isUtf8(bytes)) return { ...source, content: bytes, text: headOf(bytes) };
  const content = bytes.toString();
  return { ...source, content, text: content };
}

/**
 * Reads a file.
 * @param uri what an error calls it
 * @throws BabelhostError `contentTooLarge`; `notFound` where it cannot be read or is no file; what `reservation` throws
 */
export async function readSourceFile(
  file: Buffer,
  uri: string,
  limitBytes: number,
  reservation: FileReservation,
): Promise<Buffer> {
  try {
    for (;;) {
      const found = await readIfRoom(file, uri, limitBytes, reservation);
      if (typeof found !== 'number') return found;
      // No file is open while it waits: as many requests may wait as there are descriptors.
      await reservation.take(bytesInMemory(found));
    }
  } catch (error) {
    if (error instanceof BabelhostError || error instanceof CancelledError) throw error;
    const code = systemErrorCode(error);
    throw new BabelhostError(
      'notFound',
      `${textOfPath(file)} cannot be read: ${messageOf(error)}.`,
      { uri, code },
      { cause: error },
    );
  }
}

/** @returns its size where there is no room for it */
async function readIfRoom(
  file: Buffer,
  uri: string,
  limitBytes: number,
  reservation: FileReservation,
): Promise<Buffer | number> {
  const hasRoom = (stats: Stats): boolean => {
    if (!stats.isFile()) throw new BabelhostError('notFound', `${textOfPath(file)} is not a file.`, { uri });
    if (stats.size > limitBytes) throw contentTooLarge(stats.size, limitBytes);
    return reservation.tryTake(bytesInMemory(stats.size));
  };
  const local = (await isLocal(file)) ? readLocalFile(file, hasRoom) : undefined;
  if (local !== undefined) return local;
  // O_NONBLOCK: opening a FIFO would else wait for a writer.
  await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const stats = await handle.stat();
  return hasRoom(stats) ? await readBytes(handle, stats.size) : stats.size;
}

/** Reads at most `size` bytes: the file may grow meanwhile. */
async function readBytes(handle: FileHandle, size: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(size);
  let filled = 0;
  while (filled < size) {
    const { bytesRead } = await handle.read(bytes, filled, size - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

export function contentTooLarge(contentBytes: number, limitBytes: number): BabelhostError {
  return new BabelhostError(
    'contentTooLarge',
    `The source has ${contentBytes} bytes, more than the limit of ${limitBytes}; raise it (--max-content-bytes) or split the source.`,
    { contentBytes, limitBytes },
  );
}

/**
 * A source that came with its request.
 * @throws BabelhostError `contentTooLarge`, `invalidEncoding`
 */
export function givenSource(
  content: string,
  { encoding = 'utf8', filename }: { readonly encoding?: Encoding | undefined; readonly filename?: string | undefined },
  limitBytes: number,
): Source {
  const contentBytes = Buffer.byteLength(content, encoding);
  if (contentBytes > limitBytes) throw contentTooLarge(contentBytes, limitBytes);
  const source = { encoding, contentBytes, filename };
  if (encoding === 'utf8') return { ...source, content, text: content };
  if (content.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(content)) {
    throw new BabelhostError(
      'invalidEncoding',
      'The content is not base64 with its padding (RFC 4648, section 4); encode it so, or send it as text (encoding "utf8").',
      { encoding },
    );
  }
  const bytes = Buffer.from(content, 'base64');
  return { ...source, content: bytes, text: headOf(bytes) };
}

/** As much of a source's bytes as detection looks at. */
function headOf(bytes: Buffer): string {
  return bytes.toString('latin1', 0, 4096);
}

/** The path of a `file:` URI. @throws BabelhostError `notFound` */
export function pathOfUri(uri: string): Buffer {
  try {
    return pathOfFileUri(uri);
  } catch (error) {
    throw new BabelhostError('notFound', `${uri} is no file: URI of this machine: ${messageOf(error)}.`, { uri });
  }
}
