// Builds images from recipes: layers, configuration, manifest. Needs no Docker, and no network unless the recipe's base is in
// a registry. The same files and recipe give the same digests.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError } from '../../base/errors.ts';
import { digestOf, hexOf, type Digest } from '../digest.ts';
import {
  formatJson,
  formatManifest,
  mediaTypes,
  parseConfig,
  type LayerDescriptor,
  type Manifest,
} from '../documents.ts';
import { fetchBlob } from '../fetch-blob.ts';
import type { OperationOptions } from '../operation.ts';
import { machinePlatform, parsePlatform, type Platform } from '../platform.ts';
import { formatName, formatReference, parseName, parseReference, type Reference } from '../reference.ts';
import { storageError } from '../storage-errors.ts';
import type { StoreCore } from '../store/core.ts';
import { readIndex, withImage, type IndexEntry } from '../store/index-file.ts';
import { storedImage, type ImageDocuments, type StoredImage } from '../store/stored-image.ts';
import { openSource } from '../transports/open.ts';
import { resolveImage, type ResolvedImage } from '../transports/resolve.ts';
import { writeLayout } from '../transports/write-layout.ts';
import { FileCollector } from './collect-files.ts';
import { readRecipe, recipeError, type Recipe } from './recipe.ts';
import { writeLayer } from './write-layer.ts';

/** Its credentials are for a base in a registry. */
export interface BuildOptions extends OperationOptions {
  /** Default: the recipe's. */
  readonly name?: string | undefined;
  /** Default: the recipe's, or this machine's. */
  readonly platform?: Platform | undefined;
  /** Where to write the image instead of the store: an `oci:` or `oci-archive:` reference. */
  readonly output?: Reference | undefined;
}

/** A built image, whose blobs are files. */
interface BuiltImage extends ImageDocuments {
  readonly digest: Digest;
  readonly manifestBytes: Buffer;
}

/** A base's configuration; members that are unknown here are kept. */
type ConfigJson = Record<string, unknown>;

/** Builds the recipe in `folder`. In the store, its root file system is unpacked when the image is first used. */
export async function buildIntoStore(core: StoreCore, folder: string, options: BuildOptions): Promise<StoredImage> {
  const { signal, output } = options;
  if (output !== undefined && output.transport !== 'oci' && output.transport !== 'oci-archive') {
    throw new BabelhostError(
      'imageInvalid',
      `An image cannot be written to ${formatReference(output)} when it is built: write it to oci:DIR[:TAG] or oci-archive:FILE[:TAG], or push it afterwards.`,
      { reference: formatReference(output), reason: 'output' },
    );
  }
  const recipe = await readRecipe(path.resolve(folder));
  const named = options.name ?? recipe.name;
  const names = named === undefined ? [] : [formatName(parseName(named))];
  await using workspace = await core.session.workspace();
  const blobs = path.join(workspace.path, 'blobs');
  try {
    const built = await buildImage(core, path.resolve(folder), recipe, blobs, options);
    const parts = [built.digest, built.manifest.config.digest, ...built.manifest.layers.map(({ digest }) => digest)];
    const size = built.manifestBytes.length;
    const entry: IndexEntry = {
      digest: built.digest,
      size,
      platform: built.document.platform,
      names,
      annotations: {},
    };
    const blob = (part: Digest) => path.join(blobs, hexOf(part));
    if (output !== undefined) {
      await writeLayout(output, { entry, blobs: parts, blob }, core.settings.limits.manifestBytes, signal);
      return storedImage(entry, built);
    }
    await using prepared = await core.session.prepareStoreLock();
    return await core.locked(
      async (changing) => {
        const entries = withImage(await readIndex(core.layout), entry, []);
        const moves = new Map(parts.map((part) => [blob(part), core.blob(part)]));
        await core.commit({ entries, moves }, changing);
        return storedImage(entries.find(({ digest }) => digest === built.digest) ?? entry, built);
      },
      signal,
      prepared,
    );
  } catch (error) {
    signal?.throwIfAborted();
    throw storageError(error, core.layout.root);
  }
}

/** Builds `recipe`, which was read from `folder`, into the folder `blobs`. */
async function buildImage(
  core: StoreCore,
  folder: string,
  recipe: Recipe,
  blobs: string,
  { platform: wanted, credentials, signal, onProgress }: BuildOptions,
): Promise<BuiltImage> {
  const platform = wanted ?? (recipe.platform === undefined ? machinePlatform() : parsePlatform(recipe.platform));
  const created = sourceDate();
  await mkdir(blobs, { recursive: true });
  const base =
    recipe.base === undefined
      ? undefined
      : await fetchBase(core, folder, recipe.base, platform, blobs, { credentials, signal });
  const layers: LayerDescriptor[] = [...(base?.manifest.layers ?? [])];
  const diffIds: Digest[] = [...(base?.document.diffIds ?? [])];
  const collector = new FileCollector(folder, recipe);
  // Directories without a layer still need one that has them.
  const recipeLayers =
    recipe.layer.length === 0 && recipe.directories.length > 0 ? [{ files: [], executables: [] }] : recipe.layer;
  for (const [index, recipeLayer] of recipeLayers.entries()) {
    signal?.throwIfAborted();
    onProgress?.({ phase: 'collect', done: index, total: recipeLayers.length });
    const entries = await collector.collect(recipeLayer, index === 0 ? recipe.directories : []);
    const { descriptor, diffId } = await writeLayer(entries, blobs, {
      compression: recipe.compression,
      mtime: created,
      signal,
    });
    layers.push(descriptor);
    diffIds.push(diffId);
  }
  if (layers.length === 0) throw recipeError(path.join(folder, 'image.toml'), 'it has neither a base nor a layer');
  onProgress?.({ phase: 'collect', done: recipeLayers.length, total: recipeLayers.length });

  const configBytes = formatJson(
    configuration(recipe, base?.configBytes, platform, created, diffIds, recipeLayers.length),
  );
  const manifest: Manifest = {
    config: { mediaType: mediaTypes.config, digest: digestOf(configBytes), size: configBytes.length },
    layers,
    annotations: {},
  };
  const manifestBytes = formatManifest(manifest);
  const digest = digestOf(manifestBytes);
  await writeFile(path.join(blobs, hexOf(manifest.config.digest)), configBytes);
  await writeFile(path.join(blobs, hexOf(digest)), manifestBytes);
  return { digest, manifestBytes, manifest, document: parseConfig(configBytes, 'The configuration of the build') };
}

async function fetchBase(
  core: StoreCore,
  folder: string,
  text: string,
  platform: Platform,
  blobs: string,
  options: OperationOptions,
): Promise<ResolvedImage> {
  const { signal } = options;
  const reference = inFolder(parseReference(text), folder);
  await using source = await openSource(reference, core.settings, path.dirname(blobs), options);
  const image = await resolveImage(source, platform, core.settings.limits, signal);
  for (const [index, layer] of image.manifest.layers.entries()) {
    const target = path.join(blobs, hexOf(layer.digest));
    await fetchBlob(source, layer, target, core.blob(layer.digest), `Layer ${index + 1} of ${source.name}`, { signal });
  }
  return image;
}

/** Paths in a recipe are relative to it. */
function inFolder(reference: Reference, folder: string): Reference {
  return 'path' in reference ? { ...reference, path: path.resolve(folder, reference.path) } : reference;
}

/** The base's configuration with the recipe's over it. OCI image spec, "Image Configuration". */
function configuration(
  recipe: Recipe,
  baseBytes: Buffer | undefined,
  platform: Platform,
  mtime: number,
  diffIds: readonly Digest[],
  added: number,
): ConfigJson {
  const base = baseBytes === undefined ? {} : (JSON.parse(baseBytes.toString('utf8')) as ConfigJson);
  const baseConfig = (base['config'] ?? {}) as ConfigJson;
  const created = new Date(mtime * 1000).toISOString().replace('.000Z', 'Z');
  const { config } = recipe;
  const env = new Map(((baseConfig['Env'] ?? []) as string[]).map((line) => [line.split('=', 1)[0] ?? '', line]));
  for (const [name, value] of sortedEntries(config.env)) env.set(name, `${name}=${value}`);
  const labels = { ...(baseConfig['Labels'] as Record<string, string> | undefined), ...config.labels };
  const history = (base['history'] ?? []) as unknown[];
  return {
    ...base,
    created,
    architecture: base['architecture'] ?? platform.architecture,
    os: base['os'] ?? platform.os,
    ...(platform.variant === undefined || baseBytes !== undefined ? {} : { variant: platform.variant }),
    config: {
      ...baseConfig,
      ...(config.user === undefined ? {} : { User: config.user }),
      ...(config.workdir === undefined ? {} : { WorkingDir: config.workdir }),
      ...(config.entrypoint === undefined ? {} : { Entrypoint: config.entrypoint }),
      // As Docker does: a new entry point makes the base's arguments meaningless.
      ...(config.command !== undefined ? { Cmd: config.command } : config.entrypoint === undefined ? {} : { Cmd: [] }),
      ...(env.size === 0 ? {} : { Env: [...env.values()] }),
      ...(Object.keys(labels).length === 0 ? {} : { Labels: Object.fromEntries(sortedEntries(labels)) }),
    },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: [...history, ...Array.from({ length: added }, () => ({ created, created_by: 'babelhost image build' }))],
  };
}

function sortedEntries(record: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
}

/**
 * The time that everything in the image has, in seconds. https://reproducible-builds.org/specs/source-date-epoch/
 * @throws BabelhostError `imageInvalid` if the variable is set and no number of seconds.
 */
function sourceDate(): number {
  const text = process.env['SOURCE_DATE_EPOCH'];
  if (text === undefined || text === '') return 0;
  if (/^\d{1,11}$/.test(text) && Number(text) <= 0o77777777777) return Number(text);
  throw new BabelhostError(
    'imageInvalid',
    `SOURCE_DATE_EPOCH is '${text}': it must be a number of seconds since 1970.`,
    {
      variable: 'SOURCE_DATE_EPOCH',
      value: text,
    },
  );
}
