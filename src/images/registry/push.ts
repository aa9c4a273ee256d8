// Pushing an image to a registry: blobs that it has are left alone or mounted from another of its repositories, the rest
// goes up in chunks and is taken up again where it broke off. OCI distribution spec, "Push".
import { open, type FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { BabelhostError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Digest } from '../digest.ts';
import type { Descriptor } from '../documents.ts';
import type { OnProgress } from '../progress.ts';
import { formatName, type DockerReference } from '../reference.ts';
import { endpointsOf } from './configuration.ts';
import { findCredentials } from './credentials.ts';
import { discard, headerOf, type Answer } from './answer.ts';
import { isPassing } from './failures.ts';
import { Registry } from './http.ts';
import type { Credentials, RegistrySettings } from './settings.ts';

/** How much goes up in one request, in bytes: what is lost at most when a connection breaks. */
const chunkBytes = 8 * 1024 ** 2;

/** An image to be pushed, its blobs files of this machine. */
export interface PushedImage {
  readonly manifest: Buffer;
  readonly mediaType: string;
  /** Configuration and layers. */
  readonly blobs: readonly Descriptor[];
  readonly file: (digest: Digest) => string;
  /** Repositories of the same registry that may have a blob already. */
  readonly mountFrom: (digest: Digest) => readonly string[];
}

export interface PushOptions {
  readonly settings: RegistrySettings;
  readonly logger: Logger;
  readonly parallel: number;
  readonly credentials?: Credentials | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/**
 * Pushes an image to its reference's registry.
 * @throws BabelhostError `imageUnauthorized` if the registry does not let us; otherwise as Registry's requests do.
 */
export async function pushImage(reference: DockerReference, image: PushedImage, options: PushOptions): Promise<void> {
  const { settings, logger, signal, parallel } = options;
  const [endpoint] = await endpointsOf(reference, settings.configurationFiles, 'push');
  const credentials =
    options.credentials ?? (await findCredentials(endpoint.host, endpoint.repository, settings.authenticationFiles));
  await using registry = await Registry.open({ endpoint, settings, credentials, actions: 'pull,push', logger });
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const queue = [...new Map(image.blobs.map((blob) => [blob.digest, blob])).values()].values();
  const worker = async () => {
    for (const blob of queue) {
      try {
        await pushBlob(registry, blob, image, { ...options, signal: both });
      } catch (error) {
        stop.abort(error);
        throw error;
      }
    }
  };
  // All of them end before the registry is let go, whichever failed first.
  const results = await Promise.allSettled(Array.from({ length: parallel }, worker));
  signal?.throwIfAborted();
  if (stop.signal.aborted) throw stop.signal.reason;
  for (const result of results) if (result.status === 'rejected') throw result.reason;

  const which = reference.tag ?? reference.digest ?? 'latest';
  const answer = await registry.request('PUT', `manifests/${which}`, {
    headers: { 'content-type': image.mediaType },
    body: () => image.manifest,
    signal,
  });
  if (answer.status !== 201) throw await registry.refusal(answer, `to take the manifest of ${formatName(reference)}`);
  await discard(answer);
}

async function pushBlob(registry: Registry, blob: Descriptor, image: PushedImage, options: PushOptions): Promise<void> {
  const { digest, size } = blob;
  const { signal, onProgress } = options;
  const there = await registry.request('HEAD', `blobs/${digest}`, { signal });
  await discard(there);
  const report = (done: number) => onProgress?.({ phase: 'push', layer: digest, done, total: size });
  if (there.status === 200) {
    report(size);
    return;
  }
  if (there.status !== 404) throw await registry.refusal(there, `to be asked for ${digest}`);
  for (const from of image.mountFrom(digest)) {
    const answer = await registry.request('POST', `blobs/uploads/?mount=${digest}&from=${encodeURIComponent(from)}`, {
      signal,
    });
    if (answer.status === 201) {
      await discard(answer);
      report(size);
      return;
    }
    // It began an upload instead (the other repository lacks the blob, or we may not read it), or refused.
    if (answer.status === 202) {
      await upload(registry, blob, image.file(digest), location(registry, answer), options, report);
      return;
    }
    await discard(answer);
  }
  const begun = await beginUpload(registry, digest, signal);
  await upload(registry, blob, image.file(digest), begun, options, report);
}

async function beginUpload(registry: Registry, digest: Digest, signal: AbortSignal | undefined): Promise<URL> {
  const answer = await registry.request('POST', 'blobs/uploads/', { headers: { 'content-length': '0' }, signal });
  if (answer.status !== 202) throw await registry.refusal(answer, `to take ${digest}`);
  await discard(answer);
  return location(registry, answer);
}

/** Sends a file in chunks to an upload that has begun. */
async function upload(
  registry: Registry,
  { digest, size }: Descriptor,
  file: string,
  begun: URL,
  { settings, signal, logger }: PushOptions,
  report: (done: number) => void,
): Promise<void> {
  let place = begun;
  let done = 0;
  let furthest = 0;
  let failures = 0;
  const handle = await open(file, 'r');
  try {
    while (done < size) {
      const chunk = await readChunk(handle, done, Math.min(chunkBytes, size - done));
      try {
        const answer = await registry.request('PATCH', place, {
          headers: {
            'content-type': 'application/octet-stream',
            'content-range': `${done}-${done + chunk.length - 1}`,
            'content-length': String(chunk.length),
          },
          body: () => chunk,
          signal,
          once: true,
        });
        if (answer.status === 202) {
          done += chunk.length;
          // Only what is new: an upload that begins anew each time shall not go on for ever.
          if (done > furthest) failures = 0;
          furthest = Math.max(furthest, done);
          await discard(answer);
          place = location(registry, answer);
          report(done);
          continue;
        }
        // 416: the registry has another end of it than we think.
        if (answer.status !== 416 && answer.status < 500 && answer.status !== 429) {
          throw await registry.refusal(answer, `to take ${digest}`);
        }
        await discard(answer);
      } catch (error) {
        signal?.throwIfAborted();
        const passing = error instanceof BabelhostError ? isPassing(error.cause) : isPassing(error);
        if (!passing || failures >= settings.retries) throw error;
      }
      failures += 1;
      if (failures > settings.retries) {
        throw new BabelhostError(
          'imageNotFound',
          `The registry ${registry.host} broke off ${failures} times in a row while it was given ${digest}, after ${done} of ${size} bytes: try again later.`,
          { registry: registry.host, digest, done, total: size, reason: 'broken' },
        );
      }
      logger.debug({ registry: registry.host, digest, done, failures }, 'upload broke off');
      const wait = Math.min(settings.backOffMs * 2 ** (failures - 1), settings.maxBackOffMs);
      await sleep(wait, undefined, signal === undefined ? {} : { signal });
      const status = await registry.request('GET', place, { signal });
      await discard(status);
      if (status.status === 204) {
        place = location(registry, status, place);
        done = endOfRange(status);
      } else {
        // distribution 2 gives up an upload when a chunk of it ends early: from the beginning, then.
        place = await beginUpload(registry, digest, signal);
        done = 0;
      }
    }
  } finally {
    await handle.close();
  }
  const last = new URL(place);
  last.searchParams.set('digest', digest);
  const answer = await registry.request('PUT', last, { headers: { 'content-length': '0' }, signal });
  if (answer.status !== 201) throw await registry.refusal(answer, `to take ${digest}`);
  await discard(answer);
}

/** Where an upload goes on. */
function location(registry: Registry, answer: Answer, otherwise?: URL): URL {
  const header = headerOf(answer, 'location');
  const url = header === undefined ? otherwise : (URL.parse(header, answer.url.href) ?? undefined);
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url;
  throw new BabelhostError('imageInvalid', `The registry ${registry.host} does not say where an upload goes on.`, {
    registry: registry.host,
    reason: 'location',
  });
}

/** How many bytes of an upload the registry has: `Range: 0-99` are 100; an upload that has none yet says 0-0, or nothing. */
function endOfRange(answer: Answer): number {
  const end = /^(?:bytes=)?0-(\d+)$/.exec(headerOf(answer, 'range') ?? '')?.[1];
  return end === undefined || end === '0' ? 0 : Number(end) + 1;
}

async function readChunk(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}
