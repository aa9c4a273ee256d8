// Whether a file is there.
import { statSync } from 'node:fs';

/**
 * Whether there is something at `file`, links followed; what else goes wrong on the way is thrown. At once: a turn of Node's
 * threads takes many times as long as the call.
 */
export function exists(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false }) !== undefined;
}
