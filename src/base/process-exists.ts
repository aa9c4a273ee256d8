// Whether a process is there.
import { systemErrorCode } from './errors.ts';

/** Whether a process has this id, of whatever user, a zombie too (kill(2) with signal 0). */
export function processExists(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, as another user's.
    return systemErrorCode(error) !== 'ESRCH';
  }
}
