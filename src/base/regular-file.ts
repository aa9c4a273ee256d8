// Files in folders that a stranger may have made, such as an image layout that came in an archive: what is there in a
// file's place may be a FIFO, which waits for a writer for ever, or a link to a device that never ends.
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { BabelhostError } from './errors.ts';

/**
 * Opens a file to read it.
 * @throws BabelhostError `imageInvalid` if it is none (a folder, FIFO, socket or device); what Node throws
 */
export async function openRegularFile(file: string): Promise<FileHandle> {
  let handle: FileHandle;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    // What opening a socket fails with, and a device that nothing stands behind.
    if ((error as NodeJS.ErrnoException).code === 'ENXIO') throw notRegular(file);
    throw error;
  }
  try {
    if ((await handle.stat()).isFile()) return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
  await handle.close();
  throw notRegular(file);
}

/**
 * The content of a file. What is over `limit` bytes is cut one byte after it, whatever size the file is said to have.
 * @throws as openRegularFile
 */
export async function readRegularFile(file: string, limit: number): Promise<Buffer> {
  await using handle = await openRegularFile(file);
  const { size } = await handle.stat();
  // One byte more than it is said to have: a file that has grown is read on, in larger and larger pieces.
  let bytes = Buffer.allocUnsafe(Math.min(size, limit) + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length);
    length += bytesRead;
    if (bytesRead === 0 || length > limit) return bytes.subarray(0, length);
    if (length < bytes.length) continue;
    const larger = Buffer.allocUnsafe(Math.min(2 * length, limit + 1));
    bytes.copy(larger);
    bytes = larger;
  }
}

function notRegular(file: string): BabelhostError {
  return new BabelhostError(
    'imageInvalid',
    `${file} is a folder, FIFO, socket or device, and is not read: there must be a regular file.`,
    { path: file, reason: 'not a regular file' },
  );
}
