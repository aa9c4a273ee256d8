// Locks between processes, each held by a process of its own (lock-process.ts), with an end to waiting for them.
import { BabelhostError } from '../../base/errors.ts';
import { LockProcess } from './lock-process.ts';

/** A lock that is held until released, or until this process ends. */
export interface Lock extends AsyncDisposable {
  release(): Promise<void>;
  /** Resolves when the lock is no longer held, also if its process died by itself. */
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
export async function acquireLock(path: string, options: LockOptions): Promise<Lock> {
  options.signal?.throwIfAborted();
  return await granted(new LockProcess([path]), path, options);
}

/** Takes the lock if nobody holds it now; undefined if somebody does. */
export async function tryLock(path: string): Promise<Lock | undefined> {
  const lockProcess = new LockProcess(['--try', path]);
  return (await waitFor(lockProcess, {})) === 'locked' ? lockOf(lockProcess) : undefined;
}

/** A lock whose process runs already. Disposing ends it if it was never acquired. */
export interface PreparedLock extends AsyncDisposable {
  /**
   * Makes durable what the folder's file system has in memory, then takes the lock as acquireLock does. Once.
   * @throws BabelhostError `storageFull` if the disk does not take it; what acquireLock throws.
   */
  acquire(options: LockOptions): Promise<Lock>;
}

/**
 * Prepares to take the lock on the file at `path` after what is being written below `folder` is durable. To be called
 * before that is written: what the disk does not take from then on is an error of the sync (syncfs(2)).
 */
export function prepareLock(path: string, folder: string): PreparedLock {
  const lockProcess = new LockProcess(['--after-sync', folder, path]);
  let acquired = false;
  return {
    acquire: async (options) => {
      // Before the process is ours to release: until then disposing ends it.
      options.signal?.throwIfAborted();
      acquired = true;
      lockProcess.sync();
      return await granted(lockProcess, path, options, folder);
    },
    [Symbol.asyncDispose]: async () => {
      if (!acquired) await lockProcess.release();
    },
  };
}

/** The lock, once the process has it. */
async function granted(
  lockProcess: LockProcess,
  path: string,
  { signal, timeoutMs }: LockOptions,
  synced?: string,
): Promise<Lock> {
  switch (await waitFor(lockProcess, { signal, timeoutMs, synced })) {
    case 'locked':
      return lockOf(lockProcess);
    case 'timeout':
      throw new BabelhostError(
        'timeout',
        `Another process has held the lock on ${path} for more than ${timeoutMs} ms: see which with 'fuser ${path}', or raise 'lockTimeoutMs'.`,
        { path, limit: 'lockTimeoutMs', value: timeoutMs },
      );
    case 'busy':
      throw new Error(`The lock on ${path} was asked for with waiting and refused.`);
  }
}

function lockOf(lockProcess: LockProcess): Lock {
  const release = () => lockProcess.release();
  return { release, ended: lockProcess.ended.then(() => undefined), [Symbol.asyncDispose]: release };
}

interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** The folder that is synced before, which takes as long as it takes. */
  readonly synced?: string | undefined;
}

/** Waits until a process has its lock, or ends it. */
async function waitFor(lockProcess: LockProcess, options: WaitOptions): Promise<'locked' | 'busy' | 'timeout'> {
  const { signal, timeoutMs, synced } = options;
  let syncing = synced;
  const answer = await new Promise<'locked' | 'busy' | 'timeout' | Error>((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    let given = false;
    const give = (result: 'locked' | 'busy' | 'timeout' | Error) => {
      given = true;
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
    lockProcess.onLine = (line) => {
      if (line === 'synced' && syncing !== undefined) {
        syncing = undefined;
        startTimer();
      } else if ((line === 'locked' || line === 'busy') && syncing === undefined) give(line);
      else give(new Error(`The lock process ${lockProcess.program} wrote '${line}', which has no meaning there.`));
    };
    void lockProcess.ended.then((reason) => {
      if (!given)
        give(reason ?? (syncing === undefined ? processFailed(lockProcess) : syncFailed(syncing, lockProcess)));
    });
  });
  if (answer === 'locked') {
    lockProcess.unref();
    return answer;
  }
  await lockProcess.release();
  if (answer instanceof Error) throw answer;
  return answer;
}

function processFailed({ program, complaint }: LockProcess): BabelhostError {
  return new BabelhostError(
    'containerFailed',
    `The lock process ${program} failed: ${complaint.trim() || 'no reason given'}.`,
    { program, stderr: complaint },
  );
}

/** A file system may find out only now that it has no room, or that its disk fails. */
function syncFailed(folder: string, lockProcess: LockProcess): BabelhostError {
  const reason = lockProcess.complaint.trim();
  // The bootstrap's form of complaint: 'MESSAGE (ERRNAME): …'.
  const code = /\((E[A-Z]+)\)/.exec(reason)?.[1];
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  // Whatever else there may be (no descriptor left, the folder gone) is no disk's fault.
  if (!full && code !== 'EIO' && code !== 'EROFS') return processFailed(lockProcess);
  return new BabelhostError(
    'storageFull',
    `What was written to ${folder} does not get to the disk (${reason}): ${full ? "free some room, for instance with 'babelhost image prune'," : 'look after the disk (the kernel may say more, see dmesg)'} or use another --root. The store is as it was before.`,
    { path: folder, code, reason },
  );
}
