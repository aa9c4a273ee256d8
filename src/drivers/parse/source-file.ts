// Sources that requests name by URI: read whole, within the limits. In the place of a file there may also be a folder, a
// device, or a FIFO that nothing writes to.
import { isUtf8 } from 'node:buffer';
import { constants, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { bytesInMemory, type FileReservation } from './file-budget.ts';
import type { Encoding } from '../process/native-protocol.ts';
import { isLocal, readLocalFile } from './local-files.ts';
import { CancelledError } from '../request.ts';

export interface Source {
  readonly content: string;
  readonly encoding: Encoding;
  /** Decoded from base64, where that is the encoding. */
  readonly contentBytes: number;
  readonly filename: string | undefined;
  /** The text to detect its language from: of base64, only the beginning. */
  readonly text: string;
}

/**
 * Reads the source at a URI. With the encoding `base64`, its bytes need not be UTF-8.
 * @throws BabelhostError `invalidEncoding`, and what pathOfUri and readSourceFile throw
 */
export async function readSource(
  uri: string,
  { encoding = 'utf8', filename }: { readonly encoding?: Encoding | undefined; readonly filename?: string | undefined },
  limitBytes: number,
  reservation: FileReservation,
): Promise<Source> {
  const file = pathOfUri(uri);
  const bytes = await readSourceFile(file, uri, limitBytes, reservation);
  if (encoding === 'utf8' && !isUtf8(bytes)) {
    throw new BabelhostError(
      'invalidEncoding',
      `${file} is not UTF-8; convert it, or ask with encoding "base64" to hand its bytes to the driver as they are.`,
      { uri, encoding },
    );
  }
  const content = bytes.toString(encoding);
  const text = encoding === 'utf8' ? content : headOfBase64(content);
  return { content, encoding, contentBytes: bytes.length, filename: filename ?? file, text };
}

/**
 * Reads a file.
 * @param uri what an error calls it
 * @throws BabelhostError `contentTooLarge`; `notFound` where it cannot be read or is no file; what `reservation` throws
 */
export async function readSourceFile(
  file: string,
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
      `${file} cannot be read: ${messageOf(error)}.`,
      { uri, code },
      { cause: error },
    );
  }
}

/** @returns its size where there is no room for it */
async function readIfRoom(
  file: string,
  uri: string,
  limitBytes: number,
  reservation: FileReservation,
): Promise<Buffer | number> {
  const hasRoom = (stats: Stats): boolean => {
    if (!stats.isFile()) throw new BabelhostError('notFound', `${file} is not a file.`, { uri });
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

/** As much of base64 content as detection looks at. */
export function headOfBase64(content: string): string {
  return Buffer.from(content.slice(0, 4096), 'base64').toString('latin1');
}

/** The path of a `file:` URI. @throws BabelhostError `notFound` */
export function pathOfUri(uri: string): string {
  try {
    return fileURLToPath(uri);
  } catch (error) {
    throw new BabelhostError('notFound', `${uri} is no file: URI of this machine: ${messageOf(error)}.`, { uri });
  }
}
