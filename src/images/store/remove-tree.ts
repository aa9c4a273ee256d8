// Removing an unpacked tree: as an ordinary user, also one whose folders an image made unwritable.
import { chmod, lstat, readdir, rm } from 'node:fs/promises';
import { systemErrorCode } from '../../errors.ts';

/** Removes a file or a folder with all in it; nothing to do if it is not there. Never follows a symbolic link. */
export async function removeTree(target: string): Promise<void> {
  try {
    await rm(target, { recursive: true, force: true });
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'EACCES' && code !== 'EPERM') throw error;
    await makeWritable(target);
    await rm(target, { recursive: true, force: true });
  }
}

/**
 * Gives the owner all rights on every folder below, which removing what is in it needs. Names may be any bytes. What is
 * gone is no fault: Node's `rm` rejects at its first failure, and goes on elsewhere in the tree.
 */
async function makeWritable(target: string): Promise<void> {
  const pending = [Buffer.from(target)];
  for (let folder = pending.pop(); folder !== undefined; folder = pending.pop()) {
    try {
      if (!(await lstat(folder)).isDirectory()) continue;
      await chmod(folder, 0o700);
      for (const entry of await readdir(folder, { encoding: 'buffer', withFileTypes: true })) {
        if (entry.isDirectory()) pending.push(Buffer.concat([folder, Buffer.from('/'), entry.name]));
      }
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
}
