// The transport docker-archive: — what `docker save` writes: manifest.json, configurations and layers, which are mostly
// uncompressed. (Since Docker 25 that is an image layout too, with the same manifest.json.)
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { BabelhostError } from '../../base/errors.ts';
import { digestOf, finish, type Digest } from '../digest.ts';
import { checked, formatManifest, invalid, mediaTypes, parseConfig, type LayerDescriptor } from '../documents.ts';
import { checkLayers, overLimit, type ImageLimits } from '../limits.ts';
import { formatName, parseName } from '../reference.ts';
import { compressionOf } from '../unpack/decompress.ts';
import type { ArchiveFiles } from './archive-files.ts';
import { missing, type ImageSource } from './source.ts';

const manifestSchema = z
  .array(
    z.object({ Config: z.string(), RepoTags: z.array(z.string()).nullish(), Layers: z.array(z.string()).nullable() }),
  )
  .min(1);

type ArchivedImage = z.output<typeof manifestSchema>[number];

/** Which image of the archive: by name, by place, or the only one. */
export interface ArchiveChoice {
  readonly name?: string;
  readonly index?: number;
}

/** The source of one image in an archive that is open. */
export async function openDockerArchive(
  name: string,
  archive: ArchiveFiles,
  choice: ArchiveChoice,
  limits: ImageLimits,
  signal?: AbortSignal,
): Promise<ImageSource> {
  const image = choose(await readManifest(name, archive, limits), choice, name);
  const configBytes = await archive.read(image.Config, limits.configBytes);
  if (configBytes === undefined) throw missing(name, image.Config);
  if (configBytes.length > limits.configBytes)
    throw overLimit('configBytes', limits.configBytes, `The configuration of ${name}`);
  const { diffIds } = parseConfig(configBytes, `The configuration of ${name}`);
  const files = image.Layers ?? [];
  // Before any is read, as a manifest may name the same large file a hundred thousand times.
  const total = [...new Set(files)].reduce((sum, file) => sum + (archive.size(file) ?? 0), 0);
  checkLayers(name, files.length, total, limits);
  if (files.length !== diffIds.length) {
    throw invalid(
      `The archive ${name}`,
      `its manifest lists ${files.length} layers and its configuration ${diffIds.length}`,
    );
  }
  const places = new Map<Digest, string>();
  const layers: LayerDescriptor[] = [];
  const described = new Map<string, LayerDescriptor>();
  for (const [index, file] of files.entries()) {
    const layer = described.get(file) ?? (await describe(name, archive, file, diffIds[index], signal));
    described.set(file, layer);
    places.set(layer.digest, file);
    layers.push(layer);
  }
  const config = { mediaType: mediaTypes.config, digest: digestOf(configBytes), size: configBytes.length };
  const manifestBytes = formatManifest({ config, layers, annotations: {} });
  return {
    name,
    top: () => Promise.resolve({ kind: 'document', bytes: manifestBytes }),
    document: ({ digest }) =>
      digest === config.digest ? Promise.resolve(configBytes) : Promise.reject(missing(name, digest)),
    blob: ({ digest }, blobSignal) => {
      const file = places.get(digest);
      const stream = file === undefined ? undefined : archive.stream(file, blobSignal);
      if (stream === undefined) throw missing(name, digest);
      return stream;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function readManifest(name: string, archive: ArchiveFiles, limits: ImageLimits): Promise<ArchivedImage[]> {
  const bytes = await archive.read('manifest.json', limits.manifestBytes);
  if (bytes === undefined) {
    throw new BabelhostError(
      'imageNotFound',
      `There is no image in ${name}: the archive has no manifest.json, as 'docker save' writes one.`,
      { reference: name, missing: 'manifest.json' },
    );
  }
  if (bytes.length > limits.manifestBytes)
    throw overLimit('manifestBytes', limits.manifestBytes, `The manifest of ${name}`);
  return checked(manifestSchema, bytes, `The manifest.json of ${name}`);
}

function choose(images: readonly ArchivedImage[], choice: ArchiveChoice, name: string): ArchivedImage {
  const names = images.flatMap((image) => image.RepoTags ?? []).slice(0, 20);
  const there = names.length === 0 ? `it has ${images.length}, none with a name` : `it has ${names.join(', ')}`;
  let found: ArchivedImage | undefined;
  if (choice.index !== undefined) found = images[choice.index];
  else if (choice.name !== undefined) {
    const wanted = formatName(parseName(choice.name));
    found = images.find((image) => image.RepoTags?.some((tag) => normalised(tag) === wanted));
  } else if (images.length === 1) found = images[0];
  if (found !== undefined) return found;
  const reason =
    choice.index === undefined && choice.name === undefined
      ? 'There are several images in it; name one after a colon, or by its place as :@0'
      : 'That image is not in it';
  throw new BabelhostError('imageNotFound', `${name}: ${reason} (${there}).`, { reference: name, names });
}

/** A tag in full; undefined if it is none, as an archive may have anything there. */
function normalised(tag: string): string | undefined {
  try {
    return formatName(parseName(tag));
  } catch {
    return undefined;
  }
}

/** Describes a layer. Uncompressed, its digest is its diff id; otherwise it has to be computed. */
async function describe(
  name: string,
  archive: ArchiveFiles,
  file: string,
  diffId: Digest | undefined,
  signal: AbortSignal | undefined,
): Promise<LayerDescriptor> {
  const size = archive.size(file);
  const begin = await archive.read(file, 4);
  if (size === undefined || begin === undefined || diffId === undefined) throw missing(name, file);
  const compression = compressionOf(begin);
  if (compression === 'none') return { mediaType: mediaTypes.layer, digest: diffId, size, compression };
  const hash = createHash('sha256');
  for await (const chunk of archive.stream(file, signal) ?? []) hash.update(chunk);
  const mediaType = compression === 'gzip' ? mediaTypes.layerGzip : mediaTypes.layerZstd;
  return { mediaType, digest: finish(hash), size, compression };
}
