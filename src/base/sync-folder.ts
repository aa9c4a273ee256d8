// What was created, renamed or removed in a folder, made to last.
import { open } from 'node:fs/promises';

/** Syncs the entries of a folder to the disk (fsync(2)). */
export async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}
