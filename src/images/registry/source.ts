// The transport docker:// — reading an image from a registry. OCI distribution spec, "Pull".
import { BabelhostError, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { digestMismatch, digestOf, isDigest } from '../digest.ts';
import { invalid, mediaTypes, type Descriptor } from '../documents.ts';
import { overLimit, type ImageLimits } from '../limits.ts';
import { formatName, type DockerReference } from '../reference.ts';
import type { ImageSource } from '../transports/source.ts';
import { endpointsOf } from './configuration.ts';
import { findCredentials } from './credentials.ts';
import { discard, headerOf, readBounded, type Answer } from './answer.ts';
import { isPassing } from './failures.ts';
import { Registry } from './http.ts';
import type { Credentials, RegistrySettings } from './settings.ts';

const accepted = [mediaTypes.index, mediaTypes.manifest, mediaTypes.dockerList, mediaTypes.dockerManifest].join(', ');

/** What a connection must bring of a blob for its break not to count as another failure in a row, in bytes. */
const progressBytes = 64 * 1024;

/** Of a small blob, this part of it: that takes a hundred connections at most. */
const progressPart = 1 / 100;

export interface RegistrySourceOptions {
  readonly settings: RegistrySettings;
  readonly limits: ImageLimits;
  readonly logger: Logger;
  /** Instead of those that the files have. */
  readonly credentials?: Credentials | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens a reference for reading, at the first of its mirrors and its registry that has it.
 * @throws BabelhostError as Registry's requests do; of several places, the last one's error.
 */
export async function openRegistry(reference: DockerReference, options: RegistrySourceOptions): Promise<ImageSource> {
  const { settings, logger, signal } = options;
  const endpoints = await endpointsOf(reference, settings.configurationFiles, 'pull');
  let failure: unknown;
  for (const endpoint of endpoints) {
    const { host, repository } = endpoint;
    // The call's credentials are for the registry; mirrors are other hosts.
    const given = endpoint === endpoints.at(-1) ? options.credentials : undefined;
    const credentials = given ?? (await findCredentials(host, repository, settings.authenticationFiles));
    const registry = await Registry.open({ endpoint, settings, credentials, actions: 'pull', logger });
    try {
      const which = reference.digest ?? reference.tag ?? 'latest';
      const top = await fetchManifest(registry, which, formatName(reference), options.limits, signal);
      return sourceAt(registry, reference, top, options);
    } catch (error) {
      await registry[Symbol.asyncDispose]();
      signal?.throwIfAborted();
      failure = error;
      if (endpoint !== endpoints.at(-1))
        logger.warn({ registry: host, error: messageOf(error) }, 'mirror failed; trying the next place');
    }
  }
  throw failure;
}

async function fetchManifest(
  registry: Registry,
  which: string,
  name: string,
  limits: ImageLimits,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const { manifestBytes: limit } = limits;
  const what = `The manifest of ${name}`;
  const place = `manifests/${which}`;
  const { answer, bytes } = await readDocument(registry, place, limit, name, `the manifest of ${name}`, signal);
  if (bytes.length > limit) throw overLimit('manifestBytes', limit, what);
  const said = headerOf(answer, 'docker-content-digest');
  const actual = digestOf(bytes);
  if (said !== undefined && isDigest(said) && said !== actual) throw digestMismatch(what, said, actual);
  return bytes;
}

/**
 * A short document, cut one byte after `limit`; fetched again when the connection breaks.
 * @param asked - names it in a refusal; `what` in the error of broken connections.
 */
async function readDocument(
  registry: Registry,
  place: string,
  limit: number,
  asked: string,
  what: string,
  signal: AbortSignal | undefined,
): Promise<{ answer: Answer; bytes: Buffer }> {
  const { retries, answerTimeoutMs } = registry.settings;
  for (let failures = 0; ;) {
    const answer = await registry.request('GET', place, { headers: { accept: accepted }, signal });
    if (answer.status !== 200) throw await registry.refusal(answer, asked);
    if (Number(headerOf(answer, 'content-length') ?? 0) > limit) {
      answer.body.destroy();
      return { answer, bytes: Buffer.alloc(limit + 1) };
    }
    try {
      return { answer, bytes: await readBounded(answer, limit, answerTimeoutMs) };
    } catch (error) {
      signal?.throwIfAborted();
      if (!isPassing(error)) throw registry.failure(error, answer);
      failures += 1;
      if (failures > retries) throw brokenOff(registry, what, failures, { cause: messageOf(error) });
    }
    await registry.backOff(failures, signal);
  }
}

function brokenOff(registry: Registry, what: string, failures: number, data: object): BabelhostError {
  return new BabelhostError(
    'imageNotFound',
    `The registry ${registry.host} broke off ${failures} times in a row while it gave ${what}: try again later.`,
    { registry: registry.host, ...data, reason: 'broken' },
  );
}

function sourceAt(
  registry: Registry,
  reference: DockerReference,
  top: Buffer,
  { limits }: RegistrySourceOptions,
): ImageSource {
  const name = formatName(reference);
  return {
    name,
    top: () =>
      Promise.resolve({
        kind: 'document',
        bytes: top,
        ...(reference.digest === undefined ? {} : { digest: reference.digest }),
      }),
    document: async (descriptor, signal) => {
      if (isManifest(descriptor)) return await fetchManifest(registry, descriptor.digest, name, limits, signal);
      const what = `the configuration of ${name}`;
      const place = `blobs/${descriptor.digest}`;
      return (await readDocument(registry, place, descriptor.size, what, what, signal)).bytes;
    },
    blob: (descriptor, signal) => readBlob(registry, descriptor, name, signal),
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  };
}

function isManifest({ mediaType }: Descriptor): boolean {
  return accepted.split(', ').includes(mediaType);
}

/**
 * A blob's bytes. When the connection breaks, the rest is fetched: with Range where the registry has that, otherwise from the
 * beginning, skipping what has come already.
 */
async function* readBlob(
  registry: Registry,
  descriptor: Descriptor,
  name: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const what = `layer ${descriptor.digest} of ${name}`;
  let done = 0;
  let failures = 0;
  for (;;) {
    const begin = done;
    let answer: Answer | undefined;
    try {
      const headers: Record<string, string> = begin === 0 ? {} : { range: `bytes=${begin}-` };
      answer = await registry.request('GET', `blobs/${descriptor.digest}`, { headers, signal });
      if (answer.status === 416) {
        await discard(answer);
        throw invalid(`The ${what}`, `the registry has fewer than the ${descriptor.size} bytes that its manifest says`);
      }
      if (answer.status !== 200 && answer.status !== 206) throw await registry.refusal(answer, what);
      let skip = begin - startOf(answer, begin);
      checkLength(answer, descriptor, begin - skip, what);
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        const piece = skip === 0 ? chunk : chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - piece.length;
        done += piece.length;
        if (piece.length > 0) yield piece;
      }
      if (done >= descriptor.size) return;
      // Ended early without an error, as with HTTP/1.0 servers and broken proxies.
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof BabelhostError || answer === undefined) throw error;
      if (!isPassing(error)) throw registry.failure(error, answer);
    }
    failures = done - begin >= Math.min(progressBytes, descriptor.size * progressPart) ? 1 : failures + 1;
    if (failures > registry.settings.retries) {
      const { digest, size: total } = descriptor;
      throw brokenOff(registry, `the ${what}, after ${done} of ${total} bytes`, failures, { digest, done, total });
    }
    await registry.backOff(failures, signal);
  }
}

/** The offset in the blob at which an answer begins. */
function startOf(answer: Answer, asked: number): number {
  if (answer.status === 200) return 0;
  const range = /^bytes (\d+)-/.exec(headerOf(answer, 'content-range') ?? '')?.[1];
  const start = range === undefined ? asked : Number(range);
  if (start <= asked) return start;
  throw new BabelhostError(
    'imageInvalid',
    `The registry answered a request for bytes from ${asked} on with bytes from ${start} on.`,
    { reason: 'range' },
  );
}

/** Refuses a wrong length before the blob has come. */
function checkLength(answer: Answer, { size }: Descriptor, start: number, what: string): void {
  const length = headerOf(answer, 'content-length');
  if (length === undefined || start + Number(length) === size) return;
  answer.body.destroy();
  throw invalid(`The ${what}`, `the registry has ${start + Number(length)} bytes of it and its manifest says ${size}`);
}
