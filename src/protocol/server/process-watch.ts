// Whether another process still lives, such as the one that `initialize` names.
import { systemErrorCode } from '../../base/errors.ts';

/** How often to look, in milliseconds. */
const intervalMs = 1000;

/** Calls `onEnded` when the process has ended. @returns a function that stops that */
export function watchProcess(processId: number, onEnded: () => void): () => void {
  const timer = setInterval(() => {
    if (isAlive(processId)) return;
    clearInterval(timer);
    onEnded();
  }, intervalMs).unref();
  return () => {
    clearInterval(timer);
  };
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, as another user's.
    return systemErrorCode(error) === 'EPERM';
  }
}
