// Files of the kernel and of the machine, which are read synchronously: they are small and in memory.
import { accessSync, readFileSync } from 'node:fs';

/** The text of a file; '' where it cannot be read. */
export function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** Whether this process has access to a file: `constants.W_OK` or `constants.X_OK` of node:fs. */
export function mayUse(file: string, how: number): boolean {
  try {
    accessSync(file, how);
    return true;
  } catch {
    return false;
  }
}
