// A bound for all tests together. A test that keeps its process from taking turns is not ended by its own deadline, as
// nothing in that process looks at the time; and whoever waits for the run would wait for ever.
import { childrenOf } from '../../src/container/boot/container.ts';

/**
 * Ends the run after so long: says what was running, kills the processes of the tests and exits.
 * @param running - tells which files' tests have begun and not ended
 * @returns to be called when the run has ended in time
 */
export function endAfter(minutes: number, running: () => readonly string[]): () => void {
  const end = async (): Promise<void> => {
    process.stderr.write(`The tests were ended after ${minutes} minutes. Running:\n  ${running().join('\n  ')}\n`);
    for (const pid of await childrenOf(process.pid)) process.kill(pid, 'SIGKILL');
    process.exit(1);
  };
  const timer = setTimeout(() => void end(), minutes * 60_000);
  return () => {
    clearTimeout(timer);
  };
}
