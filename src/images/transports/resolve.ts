// Resolves a source to one image: chooses the platform in indexes, verifies the documents, and reads the configuration.
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
import { checkLayers, overLimit, type ImageLimits } from '../limits.ts';
import { formatPlatform, platformMatch, type Platform } from '../platform.ts';
import type { ImageSource, SourceTop } from './source.ts';

/** An image before its layers are fetched. */
export interface ResolvedImage {
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
      top = { kind: 'document', bytes: await fetchDocument(source, chosen, 'manifestBytes', limits, signal) };
    }
    const actual = digestOf(top.bytes);
    if (top.digest !== undefined && actual !== top.digest) {
      throw digestMismatch(`The manifest of ${source.name}`, top.digest, actual);
    }
    const document = parseTopDocument(top.bytes, `The manifest of ${source.name}`);
    if (document.kind === 'manifest') {
      return await complete(source, document.manifest, top.bytes, platform, limits, signal);
    }
    top = { kind: 'descriptors', descriptors: document.manifests };
  }
  throw invalid(`The index of ${source.name}`, `indexes are nested deeper than ${nestingLimit}`);
}

async function complete(
  source: ImageSource,
  manifest: Manifest,
  bytes: Buffer,
  platform: Platform,
  limits: ImageLimits,
  signal: AbortSignal | undefined,
): Promise<ResolvedImage> {
  const total = manifest.layers.reduce((sum, layer) => sum + layer.size, 0);
  checkLayers(source.name, manifest.layers.length, total, limits);
  const configBytes = await fetchDocument(source, manifest.config, 'configBytes', limits, signal);
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
  // Kept as it is if its media types are OCI's throughout: every OCI tool can read the store.
  const manifestBytes = bytes.includes('application/vnd.docker.') ? formatManifest(manifest) : bytes;
  return { manifestBytes, manifestDigest: digestOf(manifestBytes), manifest, configBytes, document };
}

/** Fetches a manifest or configuration whole, bounded and verified. */
async function fetchDocument(
  source: ImageSource,
  descriptor: Descriptor,
  limit: 'manifestBytes' | 'configBytes',
  limits: ImageLimits,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const { digest, size } = descriptor;
  if (size > limits[limit]) {
    throw overLimit(limit, limits[limit], `A document of ${source.name}`, { digest, actual: size });
  }
  const bytes = await source.document(descriptor, signal);
  const actual = digestOf(bytes);
  if (actual !== digest) throw digestMismatch(`A document of ${source.name}`, digest, actual);
  return bytes;
}

function choose(descriptors: readonly Descriptor[], platform: Platform, name: string): Descriptor {
  const images = descriptors.filter(
    ({ mediaType, annotations }) =>
      (indexTypes.includes(mediaType) || manifestTypes.includes(mediaType)) &&
      // BuildKit lists attestations of an image (its provenance) beside it.
      annotations?.['vnd.docker.reference.type'] === undefined,
  );
  if (images.length === 0) {
    throw new BabelhostError('imageNotFound', `There is no image in ${name}: its index lists none.`, {
      reference: name,
    });
  }
  // Without a platform here, the configuration decides later.
  const matchOf = ({ platform: offered }: Descriptor) =>
    offered !== undefined ? platformMatch(platform, offered) : images.length === 1 ? 3 : 0.5;
  const best = images.reduce((before, image) => (matchOf(image) > matchOf(before) ? image : before));
  if (matchOf(best) > 0) return best;
  throw wrongPlatform(
    name,
    platform,
    images.flatMap((image) => image.platform ?? []),
  );
}

function wrongPlatform(name: string, wanted: Platform, offered: readonly Platform[]): BabelhostError {
  // Bounded: an index may list any number, of any length.
  const platforms = [...new Set(offered.map((one) => formatPlatform(one).slice(0, 100)))].slice(0, 20);
  return new BabelhostError(
    'imageNotFound',
    `There is no image for ${formatPlatform(wanted)} in ${name}: it has ${platforms.join(', ')}. Choose one of these with --platform if this machine can run it.`,
    { reference: name, platform: formatPlatform(wanted), platforms },
  );
}
