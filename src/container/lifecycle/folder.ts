// Folders of definitions: their names, and their entries made to last.
import { open, readdir } from 'node:fs/promises';
import { systemErrorCode } from '../../base/errors.ts';

/** The names in a folder; none if it is not there. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}

/** Has the disk know what was entered into a folder, or removed from it. */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}
