// Locks between processes: flock(2), which Node lacks, held by the native bootstrap for as long as we hold its stdin.
// The kernel ends a lock with its holder, and the holder ends with us, so that SIGKILL leaves none behind.
import { spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { BabelhostError } from '../../errors.ts';
import { requireBootstrap } from '../../native.ts';

/** A lock that is held until released, or until this process ends. */
export interface Lock extends AsyncDisposable {
  release(): Promise<void>;
  /** Resolves when the lock is no longer held, also if its holder died by itself. */
  readonly ended: Promise<void>;
}

export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for whoever holds it, in milliseconds. */
  readonly timeoutMs: number;
}

/**
 * Takes the lock on the file at `path` (made if missing), waiting for whoever holds it.
 * @throws BabelhostError `timeout` after `timeoutMs`; `runtimeMissing` if the bootstrap is not built; the signal's reason.
 */
export async function acquireLock(path: string, { signal, timeoutMs }: LockOptions): Promise<Lock> {
  const lock = await runLock([path], signal, timeoutMs);
  if (lock === 'timeout') {
    throw new BabelhostError(
      'timeout',
      `Another process has held the lock on ${path} for more than ${timeoutMs} ms: see which with 'fuser ${path}', or raise 'lockTimeoutMs'.`,
      { path, limit: 'lockTimeoutMs', value: timeoutMs },
    );
  }
  if (lock === 'busy') throw new Error(`The lock on ${path} was asked for with waiting and refused.`);
  return lock;
}

/** Takes the lock if nobody holds it now; undefined if somebody does. */
export async function tryLock(path: string): Promise<Lock | undefined> {
  const lock = await runLock(['--try', path], undefined, undefined);
  return typeof lock === 'string' ? undefined : lock;
}

async function runLock(
  args: readonly string[],
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
): Promise<Lock | 'busy' | 'timeout'> {
  signal?.throwIfAborted();
  const program = await requireBootstrap();
  const child = spawn(program, ['lock', ...args], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  // Our end closing before the holder has read it is no error of ours.
  child.stdin.on('error', () => undefined);
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, 1000);
  });
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      resolve();
    });
    child.once('error', () => {
      resolve();
    });
  });
  const answer = await new Promise<'locked' | 'busy' | 'timeout' | Error>((resolve) => {
    const give = (result: 'locked' | 'busy' | 'timeout' | Error) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(result);
    };
    const onAbort = () => {
      give(signal?.reason instanceof Error ? signal.reason : new Error('Aborted'));
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(give, timeoutMs, 'timeout');
    signal?.addEventListener('abort', onAbort, { once: true });
    child.once('error', give);
    child.stdout.setEncoding('latin1').once('data', (line: string) => {
      give(line.startsWith('busy') ? 'busy' : 'locked');
    });
    child.once('close', () => {
      give(
        new BabelhostError(
          'containerFailed',
          `The lock holder ${program} failed: ${complaint.trim() || 'no reason given'}.`,
          {
            program,
            stderr: complaint,
          },
        ),
      );
    });
  });
  const release = async () => {
    child.ref();
    child.stdin.end();
    await ended;
  };
  if (answer !== 'locked') {
    await release();
    if (answer instanceof Error) throw answer;
    return answer;
  }
  // A held lock must not keep this process running: it is released by our end, whatever ends us.
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr]) {
    if (stream instanceof Socket) stream.unref();
  }
  return { release, ended, [Symbol.asyncDispose]: release };
}
