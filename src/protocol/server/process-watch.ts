// Whether another process still lives, such as the one that `initialize` names.
import { processExists } from '../../base/process-exists.ts';

/** How often to look, in milliseconds. */
const intervalMs = 1000;

/** Calls `onEnded` when the process has ended. @returns a function that stops that */
export function watchProcess(processId: number, onEnded: () => void): () => void {
  const timer = setInterval(() => {
    if (processExists(processId)) return;
    clearInterval(timer);
    onEnded();
  }, intervalMs).unref();
  return () => {
    clearInterval(timer);
  };
}
