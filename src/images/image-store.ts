// The store of images on this machine: the public interface of this room.
import path from 'node:path';
import { silentLogger, type Logger } from '../base/log.ts';
import type { Unremoved } from '../base/remove-tree.ts';
import type { BuildOptions } from './build/build-image.ts';
import type { Digest } from './digest.ts';
import type { ImageConfig } from './documents.ts';
import type { InstallOptions } from './install.ts';
import { defaultLimits, type ImageLimits } from './limits.ts';
import type { OperationOptions } from './operation.ts';
import { namesOf, type Reference } from './reference.ts';
import { defaultRegistrySettings, type RegistrySettings } from './registry/settings.ts';
import { storageError } from './storage-errors.ts';
import { applyAccess } from './store/access.ts';
import { StoreCore } from './store/core.ts';
import { findEntry, notInStore } from './store/find-image.ts';
import { readIndex, type IndexEntry } from './store/index-file.ts';
import { exists, makeLayout, makeLayoutFiles, storeLayout, type StoreAccess } from './store/layout.ts';
import { hasLeftovers } from './store/session.ts';
import { storedImage, type ImageDocuments, type StoredImage } from './store/stored-image.ts';
import type { FileOwners } from '../base/file-owners.ts';
import { readInside } from './unpack/read-inside.ts';

export interface ImageStoreOptions {
  readonly logger?: Logger;
  /** Default: as root, 65536 ids from 1879048192 on; otherwise this user's own id. */
  readonly owners?: FileOwners;
  readonly limits?: Partial<ImageLimits>;
  /** Who may read the store's images with other programs from now on; default `owner`. */
  readonly access?: StoreAccess;
  /** Files with mirrors, certificates and credentials; retries; timeouts. */
  readonly registries?: Partial<RegistrySettings>;
  /** How long to wait for another process's change of the store, in milliseconds. Default: a minute. */
  readonly lockTimeoutMs?: number;
  /** How many layers are fetched at once. Default: 3, as Docker does. */
  readonly parallelFetches?: number;
}

/** Keeps a root file system in place until released, however the store changes. */
export interface Lease extends AsyncDisposable {
  readonly digest: Digest;
  readonly rootfs: string;
  readonly config: ImageConfig;
  release(): Promise<void>;
}

/** What prune removed. */
export interface Pruned {
  /** Images and other blobs. */
  readonly removed: readonly Digest[];
  /** Bytes of blobs; unpacked files are not counted. */
  readonly freedBytes: number;
}

/** Above the ids that distributions give to users in /etc/subuid (from 100000) and that systemd takes for containers. */
const defaultRootOwners: FileOwners = { kind: 'mapped', base: 1_879_048_192, size: 65_536 };

/** The images in one root folder, which is shared with other processes. */
export class ImageStore implements AsyncDisposable {
  readonly #core: StoreCore;

  private constructor(core: StoreCore) {
    this.#core = core;
  }

  /**
   * Opens the store at `root`, makes it where there is none, and removes what dead processes have left.
   * @throws BabelhostError `storageDirty`, `storageFull`, `timeout`, `runtimeMissing`.
   */
  static async open(root: string, options: ImageStoreOptions = {}): Promise<ImageStore> {
    const layout = storeLayout(path.resolve(root), options.access ?? 'owner');
    await makeLayout(layout);
    applyAccess(layout);
    const core = new StoreCore({
      layout,
      logger: options.logger ?? silentLogger(),
      owners: options.owners ?? (process.getuid?.() === 0 ? defaultRootOwners : { kind: 'single' }),
      limits: { ...defaultLimits, ...options.limits },
      registries: { ...defaultRegistrySettings(), ...options.registries },
      lockTimeoutMs: options.lockTimeoutMs ?? 60_000,
      parallelFetches: options.parallelFetches ?? 3,
    });
    if (!exists(path.join(layout.root, 'oci-layout')) || (await hasLeftovers(layout))) {
      await core.locked(async (workspace) => {
        await makeLayoutFiles(layout, workspace.path);
        if (await core.sweep()) await core.collectIfSound(await readIndex(layout), workspace);
      });
    }
    return new ImageStore(core);
  }

  /** The folder it is in. */
  get root(): string {
    return this.#core.layout.root;
  }

  /** The mode for other rooms' files in the root that are as open as the store. */
  get fileMode(): number {
    return this.#core.layout.fileMode;
  }

  /** What of images and of work in progress could not be removed since this was opened. */
  get unremoved(): readonly Unremoved[] {
    return [...this.#core.unremoved.values()];
  }

  /**
   * Fetches, verifies and unpacks an image, asks `accept`, and enters it, all or nothing. What the store has already is not
   * fetched or unpacked again.
   * @throws BabelhostError `imageNotFound`, `imageInvalid`, `imageUnauthorized`, `digestMismatch`, `storageFull`,
   * `timeout`; what `accept` throws; the signal's reason.
   */
  async install(reference: Reference, options: InstallOptions = {}): Promise<StoredImage> {
    const [{ openSource }, { installImage }] = await Promise.all([
      import('./transports/open.ts'),
      import('./install.ts'),
    ]);
    const core = this.#core;
    await using workspace = await core.session.workspace();
    try {
      await using source = await openSource(reference, core.settings, workspace.path, options);
      return await installImage(core, source, workspace.path, namesOf(reference), options);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw storageError(error, core.layout.root);
    }
  }

  /**
   * Builds the recipe in `folder` (the format: build/recipe.ts), and enters the image or writes it to `output` instead.
   * @throws BabelhostError `imageInvalid` with the recipe's line or key; `notFound` if there is no recipe.
   */
  async build(folder: string, options: BuildOptions = {}): Promise<StoredImage> {
    // Loaded here, as most hosts never build.
    const { buildIntoStore } = await import('./build/build-image.ts');
    return await buildIntoStore(this.#core, folder, options);
  }

  /**
   * Writes an image of the store to a registry, a layout directory or an archive of one.
   * @throws BabelhostError `imageNotFound`, `imageUnauthorized`, `imageInvalid` for a transport that cannot be written to.
   */
  async push(nameOrDigest: string, reference: Reference, options: OperationOptions = {}): Promise<void> {
    const { pushFromStore } = await import('./push.ts');
    const { entry } = await this.#find(nameOrDigest);
    await pushFromStore(this.#core, entry, reference, options);
  }

  /** The images, in the order they came. */
  async list(): Promise<StoredImage[]> {
    return await this.#core.unlocked((entries) => this.#core.decode(entries));
  }

  /**
   * One image, by its digest or a name, which may be short (`name` is docker.io/library/name:latest).
   * @throws BabelhostError `imageNotFound`.
   */
  async inspect(nameOrDigest: string): Promise<StoredImage> {
    const { entry, documents } = await this.#find(nameOrDigest);
    return storedImage(entry, documents);
  }

  /**
   * Removes images, all or none. A root file system in use is removed when its last lease is released.
   * @throws BabelhostError `imageNotFound` if one of them is not there.
   */
  async remove(digests: readonly Digest[]): Promise<void> {
    await this.#core.locked(async (workspace) => {
      const before = await readIndex(this.#core.layout);
      for (const digest of digests) if (!before.some((entry) => entry.digest === digest)) throw notInStore(digest);
      await this.#core.commit({ entries: before.filter(({ digest }) => !digests.includes(digest)) }, workspace);
    });
  }

  /** Removes images that have neither name nor annotation, and all that no image refers to. */
  async prune(): Promise<Pruned> {
    return await this.#core.locked(async (workspace) => {
      await this.#core.sweep();
      const before = await readIndex(this.#core.layout);
      const entries = before.filter(
        ({ names, annotations }) => names.length > 0 || Object.keys(annotations).length > 0,
      );
      const { digests, bytes } =
        entries.length === before.length
          ? await this.#core.collect(entries, workspace)
          : await this.#core.commit({ entries }, workspace);
      return { removed: digests, freedBytes: bytes };
    });
  }

  /**
   * Keeps an image's root file system in place, unpacking it first if needed.
   * @throws BabelhostError `imageNotFound` if the store does not have the image.
   */
  async lease(digest: Digest): Promise<Lease> {
    const core = this.#core;
    await core.leases.take(digest);
    let released: Promise<void> | undefined;
    const release = () => (released ??= core.release([digest]));
    try {
      const { document } = (await this.#find(digest)).documents;
      const rootfs = core.rootfs(digest);
      if (!(await core.isUnpacked(digest))) await this.#unpack(digest);
      return { digest, rootfs, config: document.config, release, [Symbol.asyncDispose]: release };
    } catch (error) {
      await release();
      throw error;
    }
  }

  /**
   * Reads a file of an image; links are resolved inside it.
   * @throws BabelhostError `imageNotFound`; `notFound` if there is no such file; `imageInvalid` if it is too long or no file.
   */
  async read(digest: Digest, file: string, maxBytes: number): Promise<Buffer> {
    await using lease = await this.lease(digest);
    return readInside(lease.rootfs, file, maxBytes);
  }

  /** @throws BabelhostError `imageNotFound` */
  #find(nameOrDigest: string): Promise<{ readonly entry: IndexEntry; readonly documents: ImageDocuments }> {
    return this.#core.unlocked(async (entries) => {
      const entry = findEntry(entries, nameOrDigest);
      if (entry === undefined) throw notInStore(nameOrDigest);
      return { entry, documents: await this.#core.documents(entry.digest) };
    });
  }

  /** Unpacks an image of the store that was entered packed, as built ones are, or whose root was lost. */
  async #unpack(digest: Digest): Promise<void> {
    const [{ ArrivingBlob }, { unpackImage }] = await Promise.all([
      import('./arriving-blob.ts'),
      import('./store/unpack-image.ts'),
    ]);
    const core = this.#core;
    await using workspace = await core.session.workspace();
    await using prepared = await core.session.prepareStoreLock();
    const documents = await core.documents(digest);
    const rootfs = path.join(workspace.path, 'rootfs');
    // eslint-disable-next-line @typescript-eslint/no-unused-vars -- held until the end of the block
    await using _held = await core.hold([...new Set(documents.document.diffIds)]);
    const layers = await unpackImage(documents, rootfs, {
      settings: core.settings,
      name: digest,
      blob: (layer) => {
        const blob = new ArrivingBlob(core.blob(layer.digest));
        blob.succeed();
        return blob;
      },
    });
    await core.locked(
      async (changing) => {
        const entries = await readIndex(core.layout);
        if (findEntry(entries, digest) === undefined) throw notInStore(digest);
        await core.commit({ entries, moves: new Map([...layers, [rootfs, core.rootfs(digest)]]) }, changing);
      },
      undefined,
      prepared,
    );
  }

  /** Ends this process's session in the store. All leases must be released. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#core.session.end();
  }
}
