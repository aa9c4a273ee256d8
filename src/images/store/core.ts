// What the operations of a store share: paths, session, leases, limits, and the one way to change the index.
import { lstatSync, renameSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError, isBabelhostError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { logUnremoved, type Unremoved } from '../../base/remove-tree.ts';
import { hexOf, type Digest } from '../digest.ts';
import type { ImageLimits } from '../limits.ts';
import type { RegistrySettings } from '../registry/settings.ts';
import { storageError } from '../storage-errors.ts';
import { syncFolder } from '../../base/sync-folder.ts';
import type { FileOwners } from '../../base/file-owners.ts';
import { collectUnreferenced, type Collected } from './collect.ts';
import { readIndex, writeIndex, type IndexEntry } from './index-file.ts';
import { blobPath, exists, namesIn, type StoreLayout } from './layout.ts';
import { Leases } from './leases.ts';
import type { PreparedLock } from './lock.ts';
import { Session, sweepDeadSessions, type Workspace } from './session.ts';
import { readDocuments, storedImage, type ImageDocuments, type StoredImage } from './stored-image.ts';

export interface StoreSettings {
  readonly layout: StoreLayout;
  readonly logger: Logger;
  readonly owners: FileOwners;
  readonly limits: ImageLimits;
  readonly registries: RegistrySettings;
  /** How long to wait for another process's change of the store, in milliseconds. */
  readonly lockTimeoutMs: number;
  /** How many layers are fetched at once. */
  readonly parallelFetches: number;
}

/** A change of the index: the images that there will be, and the files of theirs that the store lacks. */
export interface Change {
  readonly entries: readonly IndexEntry[];
  /** Files and folders to move into place first, where nothing is yet: from → to. */
  readonly moves?: ReadonlyMap<string, string>;
}

/** The internals of an ImageStore. */
export class StoreCore {
  readonly settings: StoreSettings;
  readonly layout: StoreLayout;
  readonly session: Session;
  readonly leases: Leases;
  /** What could not be removed so far, by its path. */
  readonly unremoved = new Map<string, Unremoved>();

  constructor(settings: StoreSettings) {
    this.settings = settings;
    this.layout = settings.layout;
    this.session = new Session(settings.layout, settings.lockTimeoutMs, this.#onUnremoved);
    this.leases = new Leases(settings.layout, this.session);
  }

  /** Runs `body` with the store's lock held, and a workspace that is removed once the lock is released. */
  async locked<Result>(
    body: (workspace: Workspace) => Promise<Result>,
    signal?: AbortSignal,
    prepared?: PreparedLock,
  ): Promise<Result> {
    const { layout, lockTimeoutMs } = this.settings;
    await using workspace = await this.session.workspace();
    const options = { signal, timeoutMs: lockTimeoutMs };
    const lock = await (prepared?.acquire(options) ?? this.session.lockStore(options));
    try {
      return await body(workspace);
    } catch (error) {
      throw storageError(error, layout.root);
    } finally {
      await lock.release();
    }
  }

  /** The documents of an image in the index; throws as readDocuments does. */
  documents(digest: Digest): Promise<ImageDocuments> {
    return readDocuments(this.layout, digest);
  }

  /** The images of index entries, which must not be removed meanwhile. */
  async decode(entries: readonly IndexEntry[]): Promise<StoredImage[]> {
    const images: StoredImage[] = [];
    for (const entry of entries) images.push(storedImage(entry, await this.documents(entry.digest)));
    return images;
  }

  /**
   * Reads something of the index's images without the lock. If that fails, and one of them was removed since the index was
   * read, it is read again: what is missing is then no damage.
   */
  async unlocked<Result>(read: (entries: readonly IndexEntry[]) => Promise<Result>): Promise<Result> {
    for (let entries = await readIndex(this.layout); ;) {
      try {
        return await read(entries);
      } catch (error) {
        const now = await readIndex(this.layout);
        const kept = new Set(now.map(({ digest }) => digest));
        if (entries.every(({ digest }) => kept.has(digest))) throw error;
        entries = now;
      }
    }
  }

  /**
   * Makes a change, under the lock: moves files into place, replaces index.json (the instant at which the change happens),
   * and takes out what is unreferenced. After a kill before that instant the next start removes the files again; after it,
   * what was replaced.
   */
  async commit(change: Change, workspace: Workspace): Promise<Collected> {
    const { layout } = this;
    if (change.moves !== undefined) {
      for (const [from, to] of change.moves) {
        // Content is named by its digest: what is there already is the same, and may be in use.
        if (ownerOf(to) === undefined) renameSync(from, to);
      }
      // Together: a file system with a journal then writes it once.
      await Promise.all([layout.blobs, layout.rootfs, layout.layers].map(syncFolder));
    }
    await writeIndex(layout, change.entries, workspace.path);
    return await this.collectIfSound(change.entries, workspace);
  }

  /** Removes what dead processes have left, under the lock; see sweepDeadSessions. */
  async sweep(): Promise<boolean> {
    return await sweepDeadSessions(this.layout, this.session.id, this.#onUnremoved);
  }

  /**
   * As `collect`, after a change that is done: a damaged image, for which nothing can be taken out, does not fail that. It
   * is reported by all that reads the image, and by prune.
   */
  async collectIfSound(entries: readonly IndexEntry[], workspace: Workspace): Promise<Collected> {
    try {
      return await this.collect(entries, workspace);
    } catch (error) {
      if (!isBabelhostError(error, 'storageDirty')) throw error;
      this.settings.logger.warn(
        { root: this.layout.root, error: error.message },
        'unreferenced files are left in the store',
      );
      return { digests: [], bytes: 0 };
    }
  }

  /** Takes out what `entries` do not refer to, under the lock. */
  async collect(entries: readonly IndexEntry[], workspace: Workspace): Promise<Collected> {
    const trash = path.join(workspace.path, 'trash');
    return await collectUnreferenced(this.layout, entries, trash, this.#onUnremoved);
  }

  /**
   * Keeps images' roots and layers (by diff id) in place until disposed: those of them that are there when this resolves.
   */
  async hold(digests: readonly Digest[], signal?: AbortSignal): Promise<AsyncDisposable> {
    const held: Digest[] = [];
    const release = () => this.release(held);
    try {
      const taken = await Promise.allSettled(
        digests.map(async (digest) => {
          await this.leases.take(digest);
          held.push(digest);
        }),
      );
      const failed = taken.find((one) => one.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      // A process that looked for leases before ours were there, and is taking things out, holds the lock: let it finish.
      if (await this.#areAnyOrphaned(digests)) await this.locked(() => Promise.resolve(), signal);
    } catch (error) {
      await release();
      throw error;
    }
    return { [Symbol.asyncDispose]: release };
  }

  /** Releases leases, and takes out what only they still kept. */
  async release(digests: readonly Digest[]): Promise<void> {
    const last = await Promise.all(digests.map((digest) => this.leases.release(digest)));
    if (!last.includes(true)) return;
    // The index is read after the release: a removal that left an image to our lease has written it before.
    if (!(await this.#areAnyOrphaned(digests.filter((_, index) => last[index] === true)))) return;
    await this.locked(async (workspace) => {
      await this.collect(await readIndex(this.layout), workspace);
    });
  }

  /** Whether a root or layer of these is in the store that no image of the index has. */
  async #areAnyOrphaned(digests: readonly Digest[]): Promise<boolean> {
    const { rootfs, layers } = this.layout;
    const kept: Digest[] = [];
    for (const digest of digests) {
      const name = hexOf(digest);
      if (exists(path.join(rootfs, name)) || exists(path.join(layers, name))) kept.push(digest);
    }
    if (kept.length === 0) return false;
    return await this.unlocked(async (entries) => {
      const images = new Set(entries.map(({ digest }) => digest));
      const others = new Set(kept.filter((digest) => !images.has(digest)));
      for (const digest of others.size === 0 ? [] : images) {
        for (const diffId of (await this.documents(digest)).document.diffIds) others.delete(diffId);
      }
      return others.size > 0;
    });
  }

  /**
   * Whether an image is unpacked for this store's owners. One that is unpacked for others, and unused, is taken out.
   * @throws BabelhostError `storageDirty` if another process is using it.
   */
  async isUnpacked(digest: Digest): Promise<boolean> {
    const rootfs = this.rootfs(digest);
    const owner = ownerOf(rootfs);
    if (owner === undefined) return false;
    const { owners } = this.settings;
    if (
      owners.kind === 'single'
        ? owner === process.getuid?.()
        : owner >= owners.base && owner < owners.base + owners.size
    ) {
      return true;
    }
    const others = (await namesIn(this.layout.leases)).filter(
      (name) => name.startsWith(hexOf(digest)) && !name.endsWith(this.session.id),
    );
    if (others.length > 0) {
      throw new BabelhostError(
        'storageDirty',
        `The image ${digest} is unpacked for other user ids (its root belongs to ${owner}) and in use by another process: end that, or use another --root.`,
        { path: rootfs, owner },
      );
    }
    await this.locked((workspace) => rename(rootfs, path.join(workspace.path, 'other-owners')));
    return false;
  }

  readonly #onUnremoved = (unremoved: Unremoved): void => {
    this.unremoved.set(unremoved.path, unremoved);
    logUnremoved(this.settings.logger, unremoved);
  };

  /** Where an image's root file system is, or will be. */
  rootfs(digest: Digest): string {
    return path.join(this.layout.rootfs, hexOf(digest));
  }

  blob(digest: Digest): string {
    return blobPath(this.layout.root, digest);
  }
}

/** The user id that a file belongs to; undefined if there is none. */
function ownerOf(file: string): number | undefined {
  return lstatSync(file, { throwIfNoEntry: false })?.uid;
}
