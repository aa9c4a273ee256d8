// Reads files in folders of unknown origin, such as image layouts: what is in a file's place may be a FIFO, of which opening
// waits for a writer for ever, or a link to a device that never ends.
import { constants, readSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { textOfPath } from './byte-paths.ts';
import { BabelhostError, systemErrorCode } from './errors.ts';

/**
 * Opens a file to read it.
 * @param flags besides those for reading, such as O_NOFOLLOW
 * @throws BabelhostError `imageInvalid` if it is a folder, FIFO, socket or device; what Node throws
 */
export async function openRegularFile(file: string | Buffer, flags = 0): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK | flags);
  } catch (error) {
    // A socket, or a device without a driver.
    if (systemErrorCode(error) === 'ENXIO') throw notRegular(file);
    throw error;
  }
  try {
    if (!(await handle.stat()).isFile()) throw notRegular(file);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * The content of a file, cut one byte after `limit`.
 * @throws as openRegularFile
 */
export async function readRegularFile(file: string | Buffer, limit: number, flags = 0): Promise<Buffer> {
  await using handle = await openRegularFile(file, flags);
  const pieces: Buffer[] = [];
  // `end` is the last byte's offset.
  const stream = handle.createReadStream({ start: 0, end: limit }) as AsyncIterable<Buffer>;
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Reads the first `size` bytes of an open file, synchronously; fewer where it has become shorter. */
export function readDescriptor(descriptor: number, size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  let filled = 0;
  while (filled < size) {
    const count = readSync(descriptor, bytes, filled, size - filled, filled);
    if (count === 0) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

function notRegular(file: string | Buffer): BabelhostError {
  const path = typeof file === 'string' ? file : textOfPath(file);
  return new BabelhostError(
    'imageInvalid',
    `${path} is a folder, FIFO, socket or device, and is not read: there must be a regular file.`,
    { path, reason: 'not a regular file' },
  );
}
