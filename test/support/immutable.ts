// Files that nobody can remove, root included: not every file system has them.
import { spawnSync } from 'node:child_process';

/** Makes a file immutable; `chattr -i` undoes it. Returns why that cannot be, if it cannot. */
export function makeImmutable(file: string): string | undefined {
  const { status, error, stderr } = spawnSync('chattr', ['+i', file], { encoding: 'utf8' });
  if (status === 0) return undefined;
  return `no file can be made immutable here: ${error?.message ?? stderr.trim()}`;
}
