// Looks at the machine that are done at once: Node's threads would take longer than the kernel's answer, and a host's start
// waits for it.
import { accessSync, readFileSync } from 'node:fs';

/** The text of a file; '' where it cannot be read. */
export function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** Whether this process may use a file so: `constants.W_OK` or `constants.X_OK` of node:fs. */
export function mayUse(file: string, how: number): boolean {
  try {
    accessSync(file, how);
    return true;
  } catch {
    return false;
  }
}
