// Locks between processes: flock(2), which Node lacks, so that each lock is held by a process of the native bootstrap. The
// kernel ends the lock with that process, which ends when our end of its stdin closes, and is killed when we are.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { BabelhostError } from '../../base/errors.ts';
import { requireBootstrap } from '../../base/native.ts';
import { isDiskError, storageFull } from '../storage-errors.ts';

/** A lock that is held until released, or until this process ends. */
export interface Lock extends AsyncDisposable {
  release(): Promise<void>;
  /** Resolves when the lock is no longer held, also if its process was killed. */
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
  return await (await LockProcess.start([path])).granted(path, options);
}

/** Takes the lock if nobody holds it now; undefined if somebody does. */
export async function tryLock(path: string): Promise<Lock | undefined> {
  const lockProcess = await LockProcess.start(['--try', path]);
  const answer = await lockProcess.next(['locked', 'busy']);
  if (answer === 'locked') return lockProcess.lock();
  await lockProcess.release();
  return undefined;
}

/** A lock whose process runs already. Disposing ends it if the lock was never acquired. */
export interface PreparedLock extends AsyncDisposable {
  /**
   * Syncs the folder's file system, then takes the lock as acquireLock does. To be called once.
   * @throws BabelhostError `storageFull` if the disk does not take what was written; what acquireLock throws.
   */
  acquire(options: LockOptions): Promise<Lock>;
}

/**
 * Prepares to take the lock on the file at `path` once what is written below `folder` is durable. Call it before writing:
 * syncfs(2) reports only the failures since its folder was opened.
 */
export async function prepareLock(path: string, folder: string): Promise<PreparedLock> {
  const lockProcess = await LockProcess.start(['--after-sync', folder, path]);
  let acquired = false;
  return {
    acquire: async (options) => {
      // Until the process is ours to release, disposing ends it.
      options.signal?.throwIfAborted();
      acquired = true;
      await lockProcess.sync(folder, options.signal);
      return await lockProcess.granted(path, options);
    },
    [Symbol.asyncDispose]: async () => {
      if (!acquired) await lockProcess.release();
    },
  };
}

/** Bytes of stderr that are kept for error messages. */
const stderrLimit = 1000;

/** A process of `bootstrap lock`. */
class LockProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #closed: Promise<unknown>;
  #stderr = '';

  private constructor(child: ChildProcessWithoutNullStreams, closed: Promise<unknown>) {
    this.#child = child;
    this.#closed = closed;
    // It may end before it has read what we write, which is no error of ours.
    child.stdin.on('error', () => undefined);
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(0, stderrLimit);
    });
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** @throws BabelhostError `runtimeMissing` if the bootstrap is not built; what spawning fails with. */
  static async start(args: readonly string[]): Promise<LockProcess> {
    const child = spawn(requireBootstrap(), ['lock', ...args], { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
    const closed = new Promise<unknown>((resolve) => {
      child.once('close', resolve).once('error', resolve);
    });
    // Out of processes or descriptors, Node makes no streams, whatever their types say.
    if (child.pid === undefined) throw await closed;
    return new LockProcess(child, closed);
  }

  /**
   * The next line that it writes, one of `expected`. Anything else ends the process.
   * @throws BabelhostError `containerFailed` if it has failed; the signal's reason.
   */
  async next(expected: readonly string[], signal?: AbortSignal): Promise<string> {
    const stop = () => this.#child.stdin.end();
    if (signal?.aborted === true) stop();
    signal?.addEventListener('abort', stop, { once: true });
    const result = await this.#lines.next();
    const line = result.done === true ? undefined : result.value;
    signal?.removeEventListener('abort', stop);
    if (signal?.aborted !== true && line !== undefined && expected.includes(line)) return line;
    await this.release();
    signal?.throwIfAborted();
    throw new BabelhostError(
      'containerFailed',
      `The lock process ${this.#child.spawnfile} failed: ${line === undefined ? this.#stderr.trim() || 'no reason given' : `it wrote '${line}'`}.`,
      { program: this.#child.spawnfile, stderr: this.#stderr },
    );
  }

  /** Syncs the folder that the process was started with. */
  async sync(folder: string, signal?: AbortSignal): Promise<void> {
    this.#child.stdin.write('\n');
    try {
      await this.next(['synced'], signal);
    } catch (error) {
      signal?.throwIfAborted();
      // The bootstrap writes 'MESSAGE (ERRNAME): …'. Codes that tell of no disk (no descriptor left, say) are as before.
      const code = /\((E[A-Z]+)\)/.exec(this.#stderr)?.[1];
      throw isDiskError(code) ? storageFull(folder, code, this.#stderr.trim(), error) : error;
    }
  }

  /** The lock, once the process has it. */
  async granted(path: string, { signal, timeoutMs }: LockOptions): Promise<Lock> {
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      await this.next(['locked'], signal === undefined ? timeout : AbortSignal.any([signal, timeout]));
      return this.lock();
    } catch (error) {
      signal?.throwIfAborted();
      if (!timeout.aborted) throw error;
      throw new BabelhostError(
        'timeout',
        `Another process has held the lock on ${path} for more than ${timeoutMs} ms: see which with 'fuser ${path}', or raise 'lockTimeoutMs'.`,
        { path, limit: 'lockTimeoutMs', value: timeoutMs },
      );
    }
  }

  /** The lock that the process holds. It does not keep our process from ending, as that releases it. */
  lock(): Lock {
    for (const part of this.#parts()) part.unref();
    const release = () => this.release();
    return { release, ended: this.#closed.then(() => undefined), [Symbol.asyncDispose]: release };
  }

  /** Ends the process, and waits for that. */
  async release(): Promise<void> {
    for (const part of this.#parts()) part.ref();
    this.#child.stdin.end();
    await this.#closed;
  }

  /** What keeps our process from ending. */
  #parts(): (ChildProcessWithoutNullStreams | Socket)[] {
    const { stdin, stdout, stderr } = this.#child;
    return [this.#child, ...[stdin, stdout, stderr].filter((stream) => stream instanceof Socket)];
  }
}
