// Makes what was fetched and unpacked durable. Node has no syncfs(2); an fsync for each of ten thousand files takes longer than all
// else together. coreutils' `sync --file-system` is that one call.
import { spawn } from 'node:child_process';
import { BabelhostError, messageOf, systemErrorCode } from '../../errors.ts';

/**
 * Writes to disk what the file system of `folder` still holds in memory.
 * @throws BabelhostError `storageFull` if it cannot be written (a file system may find out only now that it has no room,
 * or that its disk fails); `runtimeMissing` if there is no `sync`.
 */
export async function syncFileSystem(folder: string): Promise<void> {
  // In C's words, which are read below.
  const env = { ...process.env, LC_ALL: 'C' };
  const child = spawn('sync', ['--file-system', folder], { stdio: ['ignore', 'ignore', 'pipe'], env });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, 1000);
  });
  const status = await new Promise<number | string | Error>((resolve) => {
    child.once('error', resolve);
    child.once('close', (code, signal) => {
      resolve(code ?? signal ?? 'unknown');
    });
  });
  if (status === 0) return;
  if (status instanceof Error) {
    if (systemErrorCode(status) !== 'ENOENT') throw status;
    throw new BabelhostError(
      'runtimeMissing',
      `There is no 'sync' on PATH (${messageOf(status)}): install coreutils. The store is as it was before.`,
      { program: 'sync' },
      { cause: status },
    );
  }
  const reason = complaint.trim() || `sync ended with ${status}`;
  const full = /no space left|quota exceeded/i.test(reason);
  throw new BabelhostError(
    'storageFull',
    `What was unpacked to ${folder} could not be written to disk (${reason}): ${full ? "free some room, for instance with 'babelhost image prune'," : 'look after the disk (the kernel may say more, see dmesg)'} or use another --root. The store is as it was before.`,
    { path: folder, reason },
  );
}
