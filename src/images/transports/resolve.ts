// From a source to one image: picks the platform out of indexes, verifies each document, and reads the configuration.
import { BabelhostError } from '../../base/errors.ts';
import { digestMismatch, digestOf, type Digest } from '../digest.ts';
import {
  formatManifest,
  invalid,
  mediaTypes,
  parseConfig,
  parseTopDocument,
  type Descriptor,
  type ImageDocument,
  type Manifest,
} from '../documents.ts';
import { overLimit, type ImageLimits } from '../limits.ts';
import { formatPlatform, platformMatch, type Platform } from '../platform.ts';
import type { ImageSource, SourceTop } from './source.ts';

/** An image before its layers are fetched. */
export interface ResolvedImage {
  /** The digest of the manifest at the source, which a registry knows the image by. */
  readonly sourceDigest: Digest;
  /** The manifest as the store keeps it, in OCI's form. */
  readonly manifestBytes: Buffer;
  readonly manifestDigest: Digest;
  readonly manifest: Manifest;
  readonly configBytes: Buffer;
  readonly document: ImageDocument;
}

/** Indexes within indexes: none are known to go deeper than two. */
const nestingLimit = 4;

const indexTypes: readonly string[] = [mediaTypes.index, mediaTypes.dockerList];
const manifestTypes: readonly string[] = [mediaTypes.manifest, mediaTypes.dockerManifest];

/**
 * Finds the image for `platform`.
 * @throws BabelhostError `imageNotFound` if there is none for it; `imageInvalid`, `digestMismatch`.
 */
export async function resolveImage(
  source: ImageSource,
  platform: Platform,
  limits: ImageLimits,
  signal?: AbortSignal,
): Promise<ResolvedImage> {
  let top: SourceTop = await source.top(signal);
  for (let depth = 0; depth <= nestingLimit; depth += 1) {
    if (top.kind === 'descriptors') {
      const chosen = choose(top.descriptors, platform, source.name);
      top = {
        kind: 'document',
        bytes: await fetchDocument(source, chosen, limits.manifestBytes, 'manifestBytes', signal),
      };
    }
    const actual = digestOf(top.bytes);
    if (top.digest !== undefined && actual !== top.digest) {
      throw digestMismatch(`The manifest of ${source.name}`, top.digest, actual);
    }
    const document = parseTopDocument(top.bytes, `The manifest of ${source.name}`);
    if (document.kind === 'manifest') {
      return await complete(source, document.manifest, top.bytes, actual, platform, limits, signal);
    }
    top = { kind: 'descriptors', descriptors: document.manifests };
  }
  throw invalid(`The index of ${source.name}`, `indexes are nested deeper than ${nestingLimit}`);
}

async function complete(
  source: ImageSource,
  manifest: Manifest,
  bytes: Buffer,
  sourceDigest: Digest,
  platform: Platform,
  limits: ImageLimits,
  signal: AbortSignal | undefined,
): Promise<ResolvedImage> {
  if (manifest.layers.length > limits.layers) {
    throw overLimit('layers', limits.layers, `The number of layers of ${source.name}`, {
      actual: manifest.layers.length,
    });
  }
  const total = manifest.layers.reduce((sum, layer) => sum + layer.size, 0);
  if (total > limits.compressedBytes) {
    throw overLimit('compressedBytes', limits.compressedBytes, `The size of ${source.name}`, { actual: total });
  }
  const configBytes = await fetchDocument(source, manifest.config, limits.configBytes, 'configBytes', signal);
  const document = parseConfig(configBytes, `The configuration of ${source.name}`);
  if (document.diffIds.length !== manifest.layers.length) {
    throw invalid(
      `The configuration of ${source.name}`,
      `it lists ${document.diffIds.length} layers and the manifest ${manifest.layers.length}`,
    );
  }
  if (platformMatch(platform, document.platform) === 0) {
    throw wrongPlatform(source.name, platform, [document.platform]);
  }
  const kept = isOci(bytes) ? bytes : formatManifest(manifest);
  return {
    sourceDigest,
    manifestBytes: kept,
    manifestDigest: digestOf(kept),
    manifest,
    configBytes,
    document,
  };
}

/** Whether a manifest can be kept as it is: OCI's media types throughout, so that every OCI tool reads the store. */
function isOci(bytes: Buffer): boolean {
  const text = bytes.toString('utf8');
  return !text.includes('application/vnd.docker.');
}

/** Fetches a manifest or configuration whole, bounded and verified. */
async function fetchDocument(
  source: ImageSource,
  descriptor: Descriptor,
  limit: number,
  limitName: keyof ImageLimits,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  if (descriptor.size > limit) {
    throw overLimit(limitName, limit, `A document of ${source.name}`, {
      digest: descriptor.digest,
      actual: descriptor.size,
    });
  }
  const bytes = await source.document(descriptor, signal);
  const actual = digestOf(bytes);
  if (actual !== descriptor.digest) throw digestMismatch(`A document of ${source.name}`, descriptor.digest, actual);
  return bytes;
}

function choose(descriptors: readonly Descriptor[], platform: Platform, name: string): Descriptor {
  const images = descriptors.filter(
    ({ mediaType, annotations }) =>
      (indexTypes.includes(mediaType) || manifestTypes.includes(mediaType)) &&
      // BuildKit lists what it says about an image (provenance) beside the image itself.
      annotations?.['vnd.docker.reference.type'] === undefined,
  );
  if (images.length === 0) {
    throw new BabelhostError('imageNotFound', `There is no image in ${name}: its index lists none.`, {
      reference: name,
    });
  }
  let best: Descriptor | undefined;
  let bestMatch = 0;
  for (const image of images) {
    // Without a platform the configuration tells it, later.
    const match =
      image.platform === undefined ? (images.length === 1 ? 3 : 0.5) : platformMatch(platform, image.platform);
    if (match > bestMatch) {
      best = image;
      bestMatch = match;
    }
  }
  if (best !== undefined) return best;
  throw wrongPlatform(
    name,
    platform,
    images.flatMap((image) => (image.platform === undefined ? [] : [image.platform])),
  );
}

function wrongPlatform(name: string, wanted: Platform, offered: readonly Platform[]): BabelhostError {
  // An index may list any number of any length.
  const platforms = [...new Set(offered.map((one) => formatPlatform(one).slice(0, 100)))].slice(0, 20);
  return new BabelhostError(
    'imageNotFound',
    `There is no image for ${formatPlatform(wanted)} in ${name}: it has ${platforms.join(', ')}. Choose one of these with --platform if this machine can run it.`,
    { reference: name, platform: formatPlatform(wanted), platforms },
  );
}
