// From a reference to an image in the store: fetch, verify, unpack beside, ask, and one rename.
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ArrivingBlob } from './arriving-blob.ts';
import { hexOf, type Digest } from './digest.ts';
import type { ImageConfig } from './documents.ts';
import { fetchBlob } from './fetch-blob.ts';
import { overLimit } from './limits.ts';
import type { OnProgress } from './progress.ts';
import { machinePlatform, type Platform } from './platform.ts';
import type { StoreCore } from './store/core.ts';
import { readIndex, withImage, type IndexEntry } from './store/index-file.ts';
import { storedImage, type StoredImage } from './store/stored-image.ts';
import { unpackImage } from './store/unpack-image.ts';
import type { Credentials } from './registry/settings.ts';
import { resolveImage, type ResolvedImage } from './transports/resolve.ts';
import type { ImageSource } from './transports/source.ts';
import { readInside, statInside, type FileInside } from './unpack/read-inside.ts';

/** An image that is unpacked, but in the store only once it is accepted. */
export interface Candidate {
  readonly digest: Digest;
  readonly config: ImageConfig;
  /** Its root file system, to look at. */
  readonly rootfs: string;
  /**
   * Reads a file of it; links lead nowhere outside of it.
   * @param maxBytes - 1 MiB unless given.
   * @throws BabelhostError `notFound` if there is none, `imageInvalid` if it is too long or no file.
   */
  readonly read: (file: string, maxBytes?: number) => Promise<Buffer>;
  /**
   * Looks at a file of it, as `read` would find it.
   * @throws BabelhostError `notFound` if there is none, `imageInvalid` if it is no file.
   */
  stat(file: string): Promise<FileInside>;
}

/** How an accepted image is entered. */
export interface Acceptance {
  /** Added to those that the image has in the index. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Instead of the reference's own name. */
  readonly names?: readonly string[];
  /** Images that leave the store in the same instant. */
  readonly replaces?: readonly Digest[];
}

/**
 * Looks at a candidate, with the store's images of that instant (nobody changes them until it has answered, so it must
 * not wait for anything long). To refuse, it throws, and nothing is left of the candidate.
 */
export type Accept = (candidate: Candidate, current: readonly StoredImage[]) => Promise<Acceptance> | Acceptance;

export interface InstallOptions {
  /** Default: this machine's. */
  readonly platform?: Platform | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly accept?: Accept | undefined;
  /** For a registry, instead of those that files have. Never logged or stored. */
  readonly credentials?: Credentials | undefined;
}

const maxReadBytes = 1024 ** 2;

/**
 * Installs the image that `source` has.
 * @param work - a folder under the store's tmp/, for what is fetched and unpacked.
 * @param names - what it is called unless `accept` says otherwise.
 */
export async function installImage(
  core: StoreCore,
  source: ImageSource,
  work: string,
  names: readonly string[],
  options: InstallOptions,
): Promise<StoredImage> {
  const { signal, onProgress, platform = machinePlatform() } = options;
  onProgress?.({ phase: 'resolve', done: 0 });
  const image = await resolveImage(source, platform, core.settings.limits, signal);
  // Small things of our own are done at once: Node's threads take longer to be asked.
  mkdirSync(path.join(work, 'blobs'));
  return await enterImage(core, image, source, work, names, options);
}

/** Fetches what is missing of an image into `work`/blobs, unpacks it there, and puts all of it into the store. */
async function enterImage(
  core: StoreCore,
  image: ResolvedImage,
  source: ImageSource,
  work: string,
  names: readonly string[],
  { signal, onProgress, accept }: InstallOptions,
): Promise<StoredImage> {
  const { manifestDigest: digest, manifest, document } = image;
  const blobs = path.join(work, 'blobs');
  await using fetching = startFetching(core, image, source, blobs, { signal, onProgress });
  // From here on it is noticed if the disk does not take something.
  await using prepared = await core.session.prepareStoreLock();
  // While we look at it, a root that is there already must stay, and so must layers.
  const leased = [digest, ...new Set(document.diffIds)];
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- held until the end of the block
  await using _held = await core.hold(leased, signal);
  writeFileSync(path.join(blobs, hexOf(digest)), image.manifestBytes);
  writeFileSync(path.join(blobs, hexOf(manifest.config.digest)), image.configBytes);
  const present = await core.isUnpacked(digest);
  let layers: ReadonlyMap<string, string> = new Map();
  const rootfs = present ? core.rootfs(digest) : path.join(work, 'rootfs');
  if (!present) {
    layers = await unpackImage({ manifest, document }, rootfs, {
      settings: core.settings,
      signal: fetching.signal,
      onProgress,
      name: source.name,
      blob: fetching.layer,
    });
  }
  await fetching.all();
  const candidate: Candidate = {
    digest,
    config: document.config,
    rootfs,
    read: (file, maxBytes = maxReadBytes) => Promise.resolve().then(() => readInside(rootfs, file, maxBytes)),
    stat: (file) => Promise.resolve().then(() => statInside(rootfs, file)),
  };
  return await core.locked(
    async (workspace) => {
      const before = await readIndex(core.layout);
      const accepted = (await accept?.(candidate, await core.decode(before))) ?? {};
      signal?.throwIfAborted();
      const entry: IndexEntry = {
        digest,
        size: image.manifestBytes.length,
        platform: document.platform,
        names: accepted.names ?? names,
        annotations: accepted.annotations ?? {},
      };
      const entries = withImage(before, entry, accepted.replaces ?? []);
      if (entries.length > core.settings.limits.images) {
        throw overLimit('images', core.settings.limits.images, 'The number of images in the store');
      }
      const moves = new Map(layers);
      for (const part of [digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)]) {
        moves.set(path.join(blobs, hexOf(part)), core.blob(part));
      }
      if (!present) moves.set(rootfs, core.rootfs(digest));
      await core.commit({ entries, moves }, workspace);
      const entered = entries.find((other) => other.digest === digest) ?? entry;
      return storedImage(entered, { manifest, document });
    },
    signal,
    prepared,
  );
}

/** Layers on their way. Disposing stops what is not there yet. */
interface Fetching extends AsyncDisposable {
  readonly layer: (index: number) => ArrivingBlob;
  /** Resolves once all are there, verified. */
  readonly all: () => Promise<void>;
  /** Aborted as soon as any layer failed. */
  readonly signal: AbortSignal;
}

/** Fetches all layers, some at a time, lowest first. */
function startFetching(
  core: StoreCore,
  { manifest }: ResolvedImage,
  source: ImageSource,
  folder: string,
  { signal, onProgress }: Pick<InstallOptions, 'signal' | 'onProgress'>,
): Fetching {
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  // The same layer may come twice in an image (an empty one often does), and is fetched once.
  const blobs = new Map<Digest, ArrivingBlob>();
  const distinct = manifest.layers.flatMap((layer, index) => {
    if (blobs.has(layer.digest)) return [];
    const blob = new ArrivingBlob();
    blobs.set(layer.digest, blob);
    return [{ layer, blob, what: `Layer ${index + 1} of ${source.name}` }];
  });
  const queue = distinct.values();
  const worker = async () => {
    for (const { layer, blob, what } of queue) {
      try {
        both.throwIfAborted();
        const file = await fetchBlob(source, layer, folder, core.blob(layer.digest), what, {
          signal: both,
          onFile: (partial) => {
            blob.begin(partial);
          },
          onBytes: (done) => {
            blob.grow();
            onProgress?.({ phase: 'fetch', layer: layer.digest, done, total: layer.size });
          },
        });
        blob.succeed(file);
      } catch (error) {
        blob.fail(error);
        stop.abort(error);
      }
    }
  };
  const workers = Promise.all(Array.from({ length: core.settings.parallelFetches }, worker));
  return {
    signal: both,
    layer: (index) => {
      const blob = blobs.get(manifest.layers[index]?.digest as Digest);
      if (blob === undefined) throw new RangeError(`There is no layer ${index}.`);
      return blob;
    },
    all: async () => {
      for (const { blob } of distinct) await blob.complete;
    },
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await workers;
    },
  };
}
