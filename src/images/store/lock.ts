// Locks between processes: flock(2), which Node lacks, asked of whoever holds them for us (lock-holder.ts), with an end
// to waiting for them.
import { BabelhostError } from '../../errors.ts';
import { Lender, startHolder, type Holder } from './lock-holder.ts';

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
 * @param lender - lends the lock on that file, where it is not lent already: it is there sooner then.
 * @throws BabelhostError `timeout` after `timeoutMs`; `runtimeMissing` if the bootstrap is not built; the signal's reason.
 */
export async function acquireLock(path: string, options: LockOptions, lender?: Lender): Promise<Lock> {
  options.signal?.throwIfAborted();
  return await granted(lender?.lend('lock') ?? startHolder([path]), path, options);
}

/** A lock with another one that its holder can take, too. */
export interface LendingLock extends Lock {
  readonly lender: Lender;
}

/**
 * Takes the lock on the file at `path` as acquireLock does.
 * @param other - the lock that may be wanted while it is held, and the folder that is to be durable before.
 */
export async function acquireLendingLock(
  path: string,
  other: { readonly path: string; readonly folder: string },
  options: LockOptions,
): Promise<LendingLock> {
  const holder = startHolder(['--lend', other.folder, other.path, path]);
  const lock = await granted(holder, path, options);
  return { ...lock, lender: new Lender(holder) };
}

/** Takes the lock if nobody holds it now; undefined if somebody does. */
export async function tryLock(path: string): Promise<Lock | undefined> {
  const holder = startHolder(['--try', path]);
  return (await waitFor(holder, {})) === 'locked' ? lockOf(holder) : undefined;
}

/** A lock whose holder runs already, so that it is there at once when it is wanted. Disposing ends it if it never was. */
export interface PreparedLock extends AsyncDisposable {
  /**
   * Makes durable what the folder's file system has in memory, then takes the lock as acquireLock does. Once.
   * @throws BabelhostError `storageFull` if the disk does not take it; what acquireLock throws.
   */
  acquire(options: LockOptions): Promise<Lock>;
}

/**
 * Prepares to take the lock on the file at `path` after what is being written below `folder` is durable.
 * @param lender - as for acquireLock.
 */
export function prepareLock(path: string, folder: string, lender?: Lender): PreparedLock {
  const holder = lender?.lend('prepare') ?? startHolder(['--after-sync', folder, path]);
  let acquired = false;
  return {
    acquire: async (options) => {
      // Before the holder is ours to release: until then disposing ends it.
      options.signal?.throwIfAborted();
      acquired = true;
      holder.say('\n');
      return await granted(holder, path, options, folder);
    },
    [Symbol.asyncDispose]: async () => {
      if (!acquired) await holder.release();
    },
  };
}

/** The lock that a holder has now, or an error. */
async function granted(
  holder: Holder,
  path: string,
  { signal, timeoutMs }: LockOptions,
  synced?: string,
): Promise<Lock> {
  switch (await waitFor(holder, { signal, timeoutMs, synced })) {
    case 'locked':
      return lockOf(holder);
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

function lockOf({ release, ended }: Holder): Lock {
  return { release, ended: ended.then(() => undefined), [Symbol.asyncDispose]: release };
}

interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** The folder that is synced before, which takes as long as it takes. */
  readonly synced?: string | undefined;
}

/** Waits until a holder has its lock, or ends it. */
async function waitFor(holder: Holder, options: WaitOptions): Promise<'locked' | 'busy' | 'timeout'> {
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
    holder.onLine = (line) => {
      if (line === 'synced' && syncing !== undefined) {
        syncing = undefined;
        startTimer();
      } else if ((line === 'locked' || line === 'busy') && syncing === undefined) give(line);
      else give(new Error(`The lock holder ${holder.program} wrote '${line}', which has no meaning there.`));
    };
    void holder.ended.then((reason) => {
      if (!given) give(reason ?? (syncing === undefined ? holderFailed(holder) : syncFailed(syncing, holder)));
    });
  });
  if (answer === 'locked') {
    holder.keep(false);
    return answer;
  }
  await holder.release();
  if (answer instanceof Error) throw answer;
  return answer;
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
