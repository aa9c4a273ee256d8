// Whether anybody still reads a pipe that this process writes to: Node would tell only at the next write.
import { spawn } from 'node:child_process';
import { fstatSync } from 'node:fs';
import { requireBootstrap } from '../base/native.ts';
import type { Logger } from '../base/log.ts';

/**
 * How the end of stdout's readers is waited for, where stdout is a pipe: in a process of `bootstrap hangup`, once it is asked.
 * Undefined where it is none: what happens to a socket is noticed without, and a file or a terminal needs no reader.
 */
export function hangUpOfStdout(logger: Logger): ((signal: AbortSignal) => Promise<boolean>) | undefined {
  if (!fstatSync(process.stdout.fd).isFIFO()) return undefined;
  return async (signal) => {
    try {
      return await waitForHangUp(signal);
    } catch (error) {
      logger.warn(
        { err: error },
        'until the next answer is written, it goes unnoticed when nobody reads stdout any more',
      );
      return false;
    }
  };
}

/** @throws BabelhostError `runtimeMissing` if the bootstrap is not built; what spawning fails with, and what it says */
async function waitForHangUp(signal: AbortSignal): Promise<boolean> {
  // Its stdin ends with this process, and it with that.
  const child = spawn(requireBootstrap(), ['hangup'], { stdio: ['pipe', process.stdout.fd, 'pipe'], detached: true });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said += text));
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  if (signal.aborted) kill();
  signal.addEventListener('abort', kill, { once: true });
  try {
    const status = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject).once('close', resolve);
    });
    if (status === 0) return true;
    if (signal.aborted) return false;
    throw new Error(`bootstrap hangup ended with status ${status ?? 'none'}: ${said.trim() || 'no reason given'}`);
  } finally {
    signal.removeEventListener('abort', kill);
  }
}
