// Installs an image: fetches, verifies and unpacks it beside the store, asks whether to accept it, and commits it.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ArrivingBlob } from './arriving-blob.ts';
import { hexOf, type Digest } from './digest.ts';
import type { ImageConfig, LayerDescriptor, Manifest } from './documents.ts';
import { fetchBlob } from './fetch-blob.ts';
import { overLimit } from './limits.ts';
import type { OperationOptions } from './operation.ts';
import { machinePlatform, type Platform } from './platform.ts';
import type { StoreCore } from './store/core.ts';
import { readIndex, withImage, type IndexEntry } from './store/index-file.ts';
import { storedImage, type StoredImage } from './store/stored-image.ts';
import { unpackImage } from './store/unpack-image.ts';
import { resolveImage } from './transports/resolve.ts';
import type { ImageSource } from './transports/source.ts';
import { readInside, statInside, type FileInside } from './unpack/read-inside.ts';

/** An image that is unpacked, but in the store only once it is accepted. */
export interface Candidate {
  readonly digest: Digest;
  readonly config: ImageConfig;
  readonly rootfs: string;
  /**
   * Reads a file of its root file system; links are resolved inside that.
   * @param maxBytes - default 1 MiB.
   * @throws BabelhostError `notFound` if there is none, `imageInvalid` if it is too long or no file.
   */
  readonly read: (file: string, maxBytes?: number) => Promise<Buffer>;
  /**
   * Size and kind of a file, found as `read` does.
   * @throws BabelhostError `notFound` if there is none, `imageInvalid` if it is no file.
   */
  stat(file: string): Promise<FileInside>;
}

/** How an accepted image is entered into the store. */
export interface Acceptance {
  /** Added to those that the index has of the image. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Instead of the reference's own name. */
  readonly names?: readonly string[];
  /** Images that leave the store in the same instant. */
  readonly replaces?: readonly Digest[];
}

/**
 * Examines a candidate beside the store's images, under the store's lock: it must not wait for anything long. It refuses
 * by throwing, and nothing is left of the candidate.
 */
export type Accept = (candidate: Candidate, current: readonly StoredImage[]) => Promise<Acceptance> | Acceptance;

export interface InstallOptions extends OperationOptions {
  /** Default: this machine's. */
  readonly platform?: Platform | undefined;
  readonly accept?: Accept | undefined;
}

const maxReadBytes = 1024 ** 2;

/**
 * Installs the image that `source` has.
 * @param work - a folder under the store's tmp/, for what is fetched and unpacked.
 * @param names - its names unless `accept` gives others.
 */
export async function installImage(
  core: StoreCore,
  source: ImageSource,
  work: string,
  names: readonly string[],
  { signal, onProgress, accept, platform = machinePlatform() }: InstallOptions,
): Promise<StoredImage> {
  onProgress?.({ phase: 'resolve', done: 0 });
  const image = await resolveImage(source, platform, core.settings.limits, signal);
  const { manifestDigest: digest, manifest, document } = image;
  const blobs = path.join(work, 'blobs');
  const blobFile = (part: Digest) => path.join(blobs, hexOf(part));
  await mkdir(blobs);
  await writeFile(blobFile(digest), image.manifestBytes);
  await writeFile(blobFile(manifest.config.digest), image.configBytes);
  await using fetching = startFetching(core, manifest, source, blobFile, { signal, onProgress });
  // Before anything is unpacked, so that its sync reports what the disk does not take.
  await using prepared = await core.session.prepareStoreLock();
  // Of this image, a root or layers that are there already must stay meanwhile.
  // eslint-disable-next-line @typescript-eslint/no-unused-vars -- held until the end of the block
  await using _held = await core.hold([digest, ...new Set(document.diffIds)], signal);
  const present = await core.isUnpacked(digest);
  const rootfs = present ? core.rootfs(digest) : path.join(work, 'rootfs');
  const moves = new Map<string, string>();
  if (!present) {
    const layers = await unpackImage({ manifest, document }, rootfs, {
      settings: core.settings,
      signal: fetching.signal,
      onProgress,
      name: source.name,
      blob: fetching.blob,
    });
    for (const [from, to] of layers) moves.set(from, to);
    moves.set(rootfs, core.rootfs(digest));
  }
  await fetching.all();
  for (const part of [digest, manifest.config.digest, ...manifest.layers.map((layer) => layer.digest)]) {
    moves.set(blobFile(part), core.blob(part));
  }
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
      await core.commit({ entries, moves }, workspace);
      const entered = entries.find((other) => other.digest === digest) ?? entry;
      return storedImage(entered, { manifest, document });
    },
    signal,
    prepared,
  );
}

/** Layers that are being fetched. Disposing stops what is not there yet. */
interface Fetching extends AsyncDisposable {
  readonly blob: (layer: LayerDescriptor) => ArrivingBlob;
  /** Resolves once all are there, verified. */
  readonly all: () => Promise<void>;
  /** Aborted as soon as any layer failed. */
  readonly signal: AbortSignal;
}

/** Fetches all layers, some at a time, lowest first. */
function startFetching(
  core: StoreCore,
  { layers }: Manifest,
  source: ImageSource,
  blobFile: (digest: Digest) => string,
  { signal, onProgress }: OperationOptions,
): Fetching {
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const blobs = new Map<Digest, ArrivingBlob>();
  // An image may have a layer twice (an empty one often): it is fetched once.
  const distinct = layers.flatMap((layer, index) => {
    if (blobs.has(layer.digest)) return [];
    const blob = new ArrivingBlob(blobFile(layer.digest));
    blobs.set(layer.digest, blob);
    return [{ layer, blob, what: `Layer ${index + 1} of ${source.name}` }];
  });
  const queue = distinct.values();
  const worker = async () => {
    for (const { layer, blob, what } of queue) {
      try {
        both.throwIfAborted();
        await fetchBlob(source, layer, blob.file, core.blob(layer.digest), what, {
          signal: both,
          onBytes: (done) => {
            blob.grow();
            onProgress?.({ phase: 'fetch', layer: layer.digest, done, total: layer.size });
          },
        });
        blob.succeed();
      } catch (error) {
        blob.fail(error);
        stop.abort(error);
      }
    }
  };
  const workers = Promise.all(Array.from({ length: core.settings.parallelFetches }, worker));
  return {
    signal: both,
    blob: ({ digest }) => {
      const blob = blobs.get(digest);
      if (blob === undefined) throw new RangeError(`There is no layer ${digest}.`);
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
