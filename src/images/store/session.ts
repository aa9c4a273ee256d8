// A process's session in a store. Its work in progress and its leases carry the session's id, and count while the session's
// lock is held: that tells what a dead process left behind from what a living one uses.
import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { isBabelhostError, messageOf } from '../../base/errors.ts';
import { removeTree, type Unremoved } from '../../base/remove-tree.ts';
import { exists, namesIn, type StoreLayout } from './layout.ts';
import { acquireLock, prepareLock, tryLock, type Lock, type LockOptions, type PreparedLock } from './lock.ts';
import { hasEnded, ownIdentity } from './process-identity.ts';

/** Called with what could not be removed. */
export type OnUnremoved = (unremoved: Unremoved) => void;

/**
 * How long the processes that a dead one has started may take to be gone, in milliseconds. The kernel has killed them with it
 * (PR_SET_PDEATHSIG); on a busy machine they may wait long for the moment that they need to end.
 */
const endTimeoutMs = 60_000;

/** Our own session. Started by the first use that needs it: listing images does not. */
export class Session {
  /** Part of the names of its workspaces and leases. It has the identity of this process, for sweeps. */
  readonly id: string = `${randomUUID()}_${ownIdentity()}`;
  readonly #layout: StoreLayout;
  readonly #lockTimeoutMs: number;
  readonly #onUnremoved: OnUnremoved;
  #lock: Promise<Lock> | undefined;
  #workspaces = 0;
  #closed = false;

  constructor(layout: StoreLayout, lockTimeoutMs: number, onUnremoved: OnUnremoved) {
    this.#layout = layout;
    this.#lockTimeoutMs = lockTimeoutMs;
    this.#onUnremoved = onUnremoved;
  }

  /** Takes the session's lock, if it is not held yet. */
  async start(): Promise<void> {
    // A failure is not kept, as its cause may pass.
    this.#lock ??= this.#take().catch((error: unknown) => {
      this.#lock = undefined;
      throw error;
    });
    await this.#lock;
  }

  async #take(): Promise<Lock> {
    const file = path.join(this.#layout.sessions, this.id);
    // The bootstrap makes the file, and checks that it is still there once locked: no sweeper can take it from us.
    const lock = await acquireLock(file, { timeoutMs: this.#lockTimeoutMs });
    void lock.ended.then(() => {
      // Somebody killed the lock process: without the lock, others would sweep what we use.
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

  /** Prepares to take the store's lock once what is written to workspaces from now on is durable. */
  async prepareStoreLock(): Promise<PreparedLock> {
    await this.start();
    return await prepareLock(this.#layout.lock, this.#layout.tmp);
  }

  /** A new folder for work in progress. Disposing removes it; if this process dies, others sweep it. */
  async workspace(): Promise<Workspace> {
    await this.start();
    this.#workspaces += 1;
    const folder = path.join(this.#layout.tmp, `${this.id}.${this.#workspaces}`);
    await mkdir(folder, { mode: 0o700 });
    return { path: folder, [Symbol.asyncDispose]: () => this.#removeWorkspace(folder) };
  }

  async #removeWorkspace(folder: string): Promise<void> {
    const unremoved = await removeTree(folder);
    if (unremoved === undefined) return;
    // Under a name of no session, so that sweeps before this session's end try again too.
    const left = path.join(this.#layout.tmp, `left.${randomUUID()}`);
    const moved = await rename(folder, left).then(
      () => true,
      () => false,
    );
    this.#onUnremoved(moved ? { ...unremoved, path: left } : unremoved);
  }

  /** Ends the session. Its workspaces and leases must be gone. */
  async end(): Promise<void> {
    this.#closed = true;
    // A lock that could not be taken has failed those who needed it.
    const lock = await this.#lock?.catch(() => undefined);
    if (lock === undefined) return;
    await rm(path.join(this.#layout.sessions, this.id), { force: true });
    await lock.release();
  }
}

/** A folder under tmp/, of one session. */
export interface Workspace extends AsyncDisposable {
  readonly path: string;
}

/** Whether processes that have died left anything: sessions that nobody has locked, or work of no session. */
export async function hasLeftovers(layout: StoreLayout): Promise<boolean> {
  const sessions = await namesIn(layout.sessions);
  if ((await namesIn(layout.tmp)).some((work) => !sessions.includes(sessionOf(work)))) return true;
  for (const session of sessions) {
    const lock = await lockOfDead(path.join(layout.sessions, session));
    if (lock === undefined) continue;
    await lock.release();
    return true;
  }
  return false;
}

/** The session that a folder in tmp/ belongs to. */
function sessionOf(work: string): string {
  return work.split('.')[0] ?? '';
}

/**
 * Removes the workspaces, leases and sessions of dead processes. Called under the store's lock.
 * @param onUnremoved - called with what stays for the next sweep.
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
  for (const session of await namesIn(layout.sessions)) {
    if (session === own) continue;
    const lock = await lockOfDead(path.join(layout.sessions, session));
    if (lock === undefined) continue;
    found = true;
    const file = path.join(layout.sessions, session);
    try {
      // Nobody else sweeps a session that we have locked. Its file goes last, so that dying here loses nothing.
      for (const lease of await namesIn(layout.leases)) {
        if (lease.endsWith(`.${session}`)) await rm(path.join(layout.leases, lease), { force: true });
      }
      for (const work of await namesIn(layout.tmp)) {
        if (!work.startsWith(`${session}.`)) continue;
        // A removal that the dead process had begun keeps ours out until it is gone, too.
        const deadline = performance.now() + endTimeoutMs;
        while ((await remove(work)) && exists(path.join(layout.tmp, work))) if (performance.now() > deadline) break;
      }
      await rm(file, { force: true });
    } catch (error) {
      onUnremoved({ path: file, reasons: [messageOf(error)] });
    } finally {
      await lock.release();
    }
  }
  // Work of no session at all, as when somebody removed a session's file by hand.
  const living = new Set(await namesIn(layout.sessions));
  for (const work of await namesIn(layout.tmp)) {
    const session = sessionOf(work);
    if (session === own || living.has(session) || tried.has(work)) continue;
    // A session that has begun since we looked: its file is made before its first workspace.
    if (exists(path.join(layout.sessions, session))) continue;
    if (await remove(work)) found = true;
  }
  return found;
}

/** The lock of a session whose process is gone. */
async function lockOfDead(file: string): Promise<Lock | undefined> {
  const lock = await tryLock(file);
  // Busy, and its process has ended: its lock process is about to.
  if (lock !== undefined || !hasEnded(path.basename(file).replace(/^[^_]*_/, ''))) return lock;
  try {
    return await acquireLock(file, { timeoutMs: endTimeoutMs });
  } catch (error) {
    if (isBabelhostError(error, 'timeout')) return undefined;
    throw error;
  }
}
