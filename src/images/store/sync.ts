// Makes what was fetched and unpacked durable. Node has no syncfs(2); an fsync for each of ten thousand files takes longer than all
// else together. coreutils' `sync --file-system` is that one call.
import { BabelhostError, messageOf } from '../../errors.ts';

/** Writes to disk what the file system of `folder` still holds in memory. */
export async function syncFileSystem(folder: string): Promise<void> {
  // Loaded when it is needed: execa is a hundred modules, a fifth of the host's start.
  const { execa } = await import('execa');
  try {
    await execa('sync', ['--file-system', folder], { stdin: 'ignore', stdout: 'ignore' });
  } catch (error) {
    throw new BabelhostError(
      'storageDirty',
      `The image at ${folder} could not be written to disk: ${messageOf(error)}.`,
      { path: folder },
      { cause: error },
    );
  }
}
