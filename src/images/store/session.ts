// A process's presence in a store. Its work in progress and its leases carry the session's name, and count for as long
// as the session's lock is held: what a dead process left behind can be told from what a living one is at.
import { randomUUID } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { removeTree, type Unremoved } from '../../base/remove-tree.ts';
import { exists } from '../exists.ts';
import { readOrUndefined, type StoreLayout } from './layout.ts';
import { probeLock } from './lock-probe.ts';
import { acquireLock, prepareLock, tryLock, type Lock, type LockOptions, type PreparedLock } from './lock.ts';

/** Told of what could not be removed. */
export type OnUnremoved = (unremoved: Unremoved) => void;

/** How long a lock process may take to notice that the process that started it has died, in milliseconds. */
const noticeTimeoutMs = 1000;

/** Our own presence. Started at the first need of it: whoever only lists images needs none. */
export class Session {
  /** Part of the names of its work and its leases. */
  readonly id: string = randomUUID();
  readonly #layout: StoreLayout;
  readonly #lockTimeoutMs: number;
  readonly #onUnremoved: OnUnremoved;
  #lock: Promise<Lock> | undefined;
  #workspaces = 0;
  /** Workspaces that are removed after their users have gone on. */
  readonly #removals = new Set<Promise<void>>();
  #closed = false;

  constructor(layout: StoreLayout, lockTimeoutMs: number, onUnremoved: OnUnremoved) {
    this.#layout = layout;
    this.#lockTimeoutMs = lockTimeoutMs;
    this.#onUnremoved = onUnremoved;
  }

  /** Takes the session's lock, if it is not held yet. */
  async start(): Promise<void> {
    // A failure is not kept: its cause may be gone the next time.
    this.#lock ??= this.#take().catch((error: unknown) => {
      this.#lock = undefined;
      throw error;
    });
    await this.#lock;
  }

  async #take(): Promise<Lock> {
    const file = path.join(this.#layout.sessions, this.id);
    // The bootstrap makes the file and makes sure that it is still there once locked, so no sweeper can take it from us.
    const lock = await acquireLock(file, { timeoutMs: this.#lockTimeoutMs });
    await writeFile(file, String(process.pid));
    void lock.ended.then(() => {
      // Somebody ended its process. What we hold now could be swept under us, so take the lock again at once.
      if (this.#closed) return;
      this.#lock = undefined;
      this.start().catch(() => undefined);
    });
    return lock;
  }

  /** Takes the store's lock, as acquireLock does. */
  async lockStore(options: LockOptions): Promise<Lock> {
    await this.start();
    return await acquireLock(this.#layout.lock, options);
  }

  /** Prepares to take the store's lock after what is about to be written to workspaces is durable. */
  async prepareStoreLock(): Promise<PreparedLock> {
    await this.start();
    return prepareLock(this.#layout.lock, this.#layout.tmp);
  }

  /** A new folder for work in progress. It is removed by dispose, or swept once this process is gone. */
  async workspace(): Promise<Workspace> {
    await this.start();
    this.#workspaces += 1;
    const folder = path.join(this.#layout.tmp, `${this.id}.${this.#workspaces}`);
    await mkdir(folder, { mode: 0o700 });
    let later = false;
    return {
      path: folder,
      removeLater: () => {
        later = true;
      },
      [Symbol.asyncDispose]: async () => {
        const removal = this.#removeWorkspace(folder);
        if (!later) await removal;
        else {
          this.#removals.add(removal);
          void removal.then(() => this.#removals.delete(removal));
        }
      },
    };
  }

  async #removeWorkspace(folder: string): Promise<void> {
    const unremoved = await removeTree(folder);
    if (unremoved === undefined) return;
    // By a name that is no session's, so that every sweep tries again, and not only those after this session's end.
    const left = path.join(this.#layout.tmp, `left.${randomUUID()}`);
    const moved = await rename(folder, left).then(
      () => true,
      () => false,
    );
    this.#onUnremoved(moved ? { ...unremoved, path: left } : unremoved);
  }

  /** Ends the session: its files must be gone by now, or on their way. */
  async end(): Promise<void> {
    this.#closed = true;
    // That it could not be taken was told to whoever needed it.
    const lock = await this.#lock?.catch(() => undefined);
    if (lock === undefined) return;
    await Promise.all(this.#removals);
    await rm(path.join(this.#layout.sessions, this.id), { force: true });
    await lock.release();
  }
}

/** A folder under tmp/, of one session. */
export interface Workspace extends AsyncDisposable {
  readonly path: string;
  /** Says that nobody needs to wait for its removal: disposing then only begins that, and the session's end waits for it. */
  removeLater(): void;
}

/** Names in a folder of the store; none if the folder is gone. At once: Node's threads take longer to be asked. */
export function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Whether all that is in the folders of sessions and of work in progress visibly belongs to living processes. */
export async function allLive(layout: StoreLayout): Promise<boolean> {
  const sessions = namesIn(layout.sessions);
  const works = namesIn(layout.tmp);
  if (works.some((work) => !sessions.includes(work.split('.')[0] ?? ''))) return false;
  for (const session of sessions) {
    const file = path.join(layout.sessions, session);
    try {
      const pid = Number(await readFile(file, 'latin1'));
      if (!Number.isInteger(pid) || pid <= 0 || !(await probeLock(pid, file))) return false;
    } catch (error) {
      // It has ended since we looked.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      return false;
    }
  }
  return true;
}

/**
 * Removes what processes left that are no more: their workspaces, their leases, their sessions.
 * @param onUnremoved - told of what stays there for the next sweep.
 * @returns whether there was any, so that the store may hold unreferenced files too.
 */
export async function sweepDeadSessions(layout: StoreLayout, own: string, onUnremoved: OnUnremoved): Promise<boolean> {
  let found = false;
  const tried = new Set<string>();
  const remove = async (work: string) => {
    tried.add(work);
    const unremoved = await removeTree(path.join(layout.tmp, work));
    if (unremoved !== undefined) onUnremoved(unremoved);
    return unremoved === undefined;
  };
  for (const session of namesIn(layout.sessions)) {
    if (session === own) continue;
    const lock = await lockOfDead(path.join(layout.sessions, session));
    if (lock === undefined) continue;
    found = true;
    const file = path.join(layout.sessions, session);
    try {
      // With its lock in our hands nobody else sweeps it; the session's file goes last, so that dying here loses nothing.
      for (const lease of namesIn(layout.leases)) {
        if (lease.endsWith(`.${session}`)) await rm(path.join(layout.leases, lease), { force: true });
      }
      for (const work of namesIn(layout.tmp)) {
        if (work.startsWith(`${session}.`)) await remove(work);
      }
      await rm(file, { force: true });
    } catch (error) {
      onUnremoved({ path: file, reasons: [messageOf(error)] });
    } finally {
      await lock.release();
    }
  }
  // What belongs to no session at all (someone removed a session's file by hand) has no owner to wait for.
  const living = new Set(namesIn(layout.sessions));
  for (const work of namesIn(layout.tmp)) {
    const session = work.split('.')[0] ?? '';
    if (session === own || living.has(session) || tried.has(work)) continue;
    // A session is made before its first workspace: look again, it may have begun since we looked.
    if (exists(path.join(layout.sessions, session))) continue;
    if (await remove(work)) found = true;
  }
  return found;
}

/** The lock of a session whose process is gone. */
async function lockOfDead(file: string): Promise<Lock | undefined> {
  const lock = await tryLock(file);
  if (lock !== undefined || !(await isGone(file))) return lock;
  // The process has just died, and its lock process is about to notice. If it does not, the process was one that
  // cannot be seen from here, in a container perhaps, and lives.
  try {
    return await acquireLock(file, { timeoutMs: noticeTimeoutMs });
  } catch (error) {
    if (error instanceof BabelhostError && error.kind === 'timeout') return undefined;
    throw error;
  }
}

/** Whether the process that a session's file names does not exist, or may have died before it could write its name. */
async function isGone(file: string): Promise<boolean> {
  const text = (await readOrUndefined(file))?.toString();
  if (text === '') return true;
  const pid = Number(text ?? '');
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return systemErrorCode(error) === 'ESRCH';
  }
}
