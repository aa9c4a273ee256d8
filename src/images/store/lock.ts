// Locks between processes: flock(2), which Node lacks, held by the native bootstrap for as long as we hold its stdin.
// The kernel ends a lock with its holder, and the holder ends with us, so that SIGKILL leaves none behind.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
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
  signal?.throwIfAborted();
  return granted(await waitFor(await startHolder([path]), { signal, timeoutMs }), path, timeoutMs);
}

/** Takes the lock if nobody holds it now; undefined if somebody does. */
export async function tryLock(path: string): Promise<Lock | undefined> {
  const lock = await waitFor(await startHolder(['--try', path]), {});
  return typeof lock === 'string' ? undefined : lock;
}

/** A lock whose holder runs already, so that it is there at once when it is wanted. Disposing ends it if it never was. */
export interface PreparedLock extends AsyncDisposable {
  /**
   * Makes durable what the folder's file system has in memory, then takes the lock as acquireLock does. Once.
   * @throws BabelhostError `storageFull` if the disk does not take it; what acquireLock throws.
   */
  acquire(options: LockOptions): Promise<Lock>;
}

/** Prepares to take the lock on the file at `path` after what is being written below `folder` is durable. */
export async function prepareLock(path: string, folder: string): Promise<PreparedLock> {
  const holder = await startHolder(['--after-sync', folder, path]);
  let acquired = false;
  return {
    acquire: async ({ signal, timeoutMs }) => {
      // Before the holder is ours to release: until then disposing ends it.
      signal?.throwIfAborted();
      acquired = true;
      holder.child.stdin.write('\n');
      return granted(await waitFor(holder, { signal, timeoutMs, synced: folder }), path, timeoutMs);
    },
    [Symbol.asyncDispose]: async () => {
      if (!acquired) await holder.release();
    },
  };
}

function granted(lock: Lock | 'busy' | 'timeout', path: string, timeoutMs: number): Lock {
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

/** A bootstrap that is to hold a lock. */
interface Holder extends Lock {
  readonly program: string;
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  /** What it has written to stderr. */
  readonly complaint: () => string;
  /** Why it could not be started, if so. */
  readonly failure: Promise<Error>;
}

async function startHolder(args: readonly string[]): Promise<Holder> {
  const program = await requireBootstrap();
  const child = spawn(program, ['lock', ...args], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  // Our end closing before the holder has read it is no error of ours.
  child.stdin.on('error', () => undefined);
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, 1000);
  });
  const failure = new Promise<Error>((resolve) => {
    child.once('error', resolve);
  });
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      resolve();
    });
    child.once('error', () => {
      resolve();
    });
  });
  const release = async () => {
    child.ref();
    child.stdin.end();
    await ended;
  };
  return { program, child, complaint: () => complaint, failure, ended, release, [Symbol.asyncDispose]: release };
}

interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** The folder that is synced before, which takes as long as it takes. */
  readonly synced?: string;
}

/** Waits until a holder has its lock, or says that it has not. */
async function waitFor(holder: Holder, options: WaitOptions): Promise<Lock | 'busy' | 'timeout'> {
  const { child, ended } = holder;
  const release = () => holder.release();
  const { signal, timeoutMs, synced } = options;
  let syncing = synced;
  const answer = await new Promise<'locked' | 'busy' | 'timeout' | Error>((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    const give = (result: 'locked' | 'busy' | 'timeout' | Error) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      resolve(result);
    };
    const onAbort = () => {
      give(signal?.reason instanceof Error ? signal.reason : new Error('Aborted'));
    };
    const startTimer = () => {
      if (timeoutMs !== undefined) timer = setTimeout(give, timeoutMs, 'timeout');
    };
    if (syncing === undefined) startTimer();
    signal?.addEventListener('abort', onAbort, { once: true });
    void holder.failure.then(give);
    const onLine = (line: string) => {
      if (line === 'synced' && syncing !== undefined) {
        syncing = undefined;
        startTimer();
      } else if ((line === 'locked' || line === 'busy') && syncing === undefined) give(line);
      else give(new Error(`The lock holder ${holder.program} wrote '${line}', which has no meaning there.`));
    };
    let rest = '';
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(onLine);
    });
    void ended.then(() => {
      give(syncing === undefined ? holderFailed(holder) : syncFailed(syncing, holder));
    });
  });
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

function holderFailed({ program, complaint }: Holder): BabelhostError {
  const stderr = complaint();
  return new BabelhostError(
    'containerFailed',
    `The lock holder ${program} failed: ${stderr.trim() || 'no reason given'}.`,
    { program, stderr },
  );
}

/** A file system may find out only now that it has no room, or that its disk fails. */
function syncFailed(folder: string, holder: Holder): BabelhostError {
  const reason = holder.complaint().trim();
  // The bootstrap's form of complaint: 'MESSAGE (ERRNAME): …'.
  const code = /\((E[A-Z]+)\)/.exec(reason)?.[1];
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  // Whatever else there may be (no descriptor left, the folder gone) is no disk's fault.
  if (!full && code !== 'EIO' && code !== 'EROFS') return holderFailed(holder);
  return new BabelhostError(
    'storageFull',
    `What was written to ${folder} does not get to the disk (${reason}): ${full ? "free some room, for instance with 'babelhost image prune'," : 'look after the disk (the kernel may say more, see dmesg)'} or use another --root. The store is as it was before.`,
    { path: folder, code, reason },
  );
}
