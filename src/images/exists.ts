// Whether a file is there.
import { stat } from 'node:fs/promises';
import { systemErrorCode } from '../errors.ts';

/** Whether there is something at `file`, links followed; what else goes wrong on the way is thrown. */
export async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
