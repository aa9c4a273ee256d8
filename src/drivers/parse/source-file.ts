// Reading the file of a source. What is in its place may also be a folder, a device, or a FIFO that nobody writes to.
import { constants, type Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { bytesInMemory, type FileReservation } from './file-budget.ts';
import { CancelledError } from '../request.ts';

/**
 * Reads a file.
 * @param uri what an error calls it
 * @param checkSize throws where the file is larger than it may be
 * @param lease the room that the file is to have
 * @throws BabelhostError `notFound` where it cannot be read, or is no file; what `checkSize` and `lease` throw
 */
export async function readSourceFile(
  file: string,
  uri: string,
  checkSize: (bytes: number) => void,
  lease: FileReservation,
): Promise<Buffer> {
  const check = (stats: Stats): void => {
    if (!stats.isFile()) throw new BabelhostError('notFound', `${file} is not a file.`, { uri });
    checkSize(stats.size);
  };
  try {
    for (;;) {
      const found = await readWhereThereIsRoom(file, check, lease);
      if (typeof found !== 'number') return found;
      // Nothing is open while it waits: as many requests may wait as there are descriptors.
      await lease.take(bytesInMemory(found));
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
async function readWhereThereIsRoom(
  file: string,
  check: (stats: Stats) => void,
  lease: FileReservation,
): Promise<Buffer | number> {
  // Not to wait for a writer where it is a FIFO.
  await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  const stats = await handle.stat();
  check(stats);
  if (!lease.tryTake(bytesInMemory(stats.size))) return stats.size;
  const bytes = Buffer.allocUnsafe(stats.size);
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
