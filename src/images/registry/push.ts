// Pushes an image to a registry: mounts blobs from other repositories of it where they are, and uploads the rest in chunks,
// resuming where the connection broke. OCI distribution spec, "Push".
import { open } from 'node:fs/promises';
import { BabelhostError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Digest } from '../digest.ts';
import { mediaTypes, type Descriptor } from '../documents.ts';
import type { OperationOptions } from '../operation.ts';
import { formatName, type DockerReference } from '../reference.ts';
import { endpointsOf } from './configuration.ts';
import { findCredentials } from './credentials.ts';
import { discard, headerOf, type Answer } from './answer.ts';
import { isPassing } from './failures.ts';
import { Registry } from './http.ts';
import type { RegistrySettings } from './settings.ts';

/** Bytes of one request: what is sent again when a connection breaks. */
const chunkBytes = 8 * 1024 ** 2;

/** An image to push, whose blobs are files of this machine. */
export interface PushedImage {
  readonly manifest: Buffer;
  /** Configuration and layers. */
  readonly blobs: readonly Descriptor[];
  readonly file: (digest: Digest) => string;
  /** Repositories of the same registry that may have a blob already. */
  readonly mountFrom: (digest: Digest) => readonly string[];
}

export interface PushOptions extends OperationOptions {
  readonly settings: RegistrySettings;
  readonly logger: Logger;
  readonly parallel: number;
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
  // All must end before the registry is disposed.
  const results = await Promise.allSettled(Array.from({ length: parallel }, worker));
  signal?.throwIfAborted();
  if (stop.signal.aborted) throw stop.signal.reason;
  for (const result of results) if (result.status === 'rejected') throw result.reason;

  const which = reference.tag ?? reference.digest ?? 'latest';
  const answer = await registry.request('PUT', `manifests/${which}`, {
    headers: { 'content-type': mediaTypes.manifest },
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
  let begun: URL | undefined;
  for (const from of image.mountFrom(digest)) {
    const place = `blobs/uploads/?mount=${digest}&from=${encodeURIComponent(from)}`;
    const answer = await registry.request('POST', place, { signal });
    await discard(answer);
    if (answer.status === 201) {
      report(size);
      return;
    }
    // An upload instead of a mount: the other repository lacks the blob, or we may not read it.
    if (answer.status === 202) {
      begun = location(registry, answer);
      break;
    }
  }
  begun ??= await beginUpload(registry, digest, signal);
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
      const length = Math.min(chunkBytes, size - done);
      const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(length), 0, length, done);
      const chunk = buffer.subarray(0, bytesRead);
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
          // Progress is what was never reached before, or an upload that begins anew each time would go on for ever.
          if (done > furthest) failures = 0;
          furthest = Math.max(furthest, done);
          await discard(answer);
          place = location(registry, answer);
          report(done);
          continue;
        }
        // 416: the registry has another part of it than we think.
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
      await registry.backOff(failures, signal);
      const status = await registry.request('GET', place, { signal });
      await discard(status);
      if (status.status === 204) {
        place = location(registry, status, place);
        done = endOfRange(status);
      } else {
        // distribution 2 gives up an upload of which a chunk ended early.
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

/** Bytes of an upload that the registry has: `Range: 0-99` is 100; `0-0`, or nothing, is none. */
function endOfRange(answer: Answer): number {
  const end = /^(?:bytes=)?0-(\d+)$/.exec(headerOf(answer, 'range') ?? '')?.[1];
  return end === undefined || end === '0' ? 0 : Number(end) + 1;
}
