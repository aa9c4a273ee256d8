// Builds an image from a recipe's folder into a folder of blobs: layers, configuration, manifest. Without Docker, and
// without network unless the recipe's base is in a registry. The same files and recipe give the same digests.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError } from '../../base/errors.ts';
import { digestOf, hexOf, type Digest } from '../digest.ts';
import {
  formatJson,
  formatManifest,
  mediaTypes,
  type ImageDocument,
  type LayerDescriptor,
  type Manifest,
} from '../documents.ts';
import { fetchBlob } from '../fetch-blob.ts';
import { machinePlatform, parsePlatform, type Platform } from '../platform.ts';
import type { OnProgress } from '../progress.ts';
import { parseReference, type Reference } from '../reference.ts';
import type { StoreCore } from '../store/core.ts';
import type { Credentials } from '../registry/settings.ts';
import { openSource } from '../transports/open.ts';
import { resolveImage, type ResolvedImage } from '../transports/resolve.ts';
import { parseConfig } from '../documents.ts';
import { FileCollector } from './collect-files.ts';
import { recipeError, type Recipe } from './recipe.ts';
import { writeLayer } from './write-layer.ts';

/** A built image, its blobs in a folder. */
export interface BuiltImage {
  readonly digest: Digest;
  readonly manifestBytes: Buffer;
  readonly manifest: Manifest;
  readonly document: ImageDocument;
}

export interface BuildImageOptions {
  readonly platform?: Platform | undefined;
  /** For the base's registry. */
  readonly credentials?: Credentials | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** What the configuration of a base says, whatever is in it: what we do not know of is kept. */
type ConfigJson = Record<string, unknown>;

/** Builds `recipe`, which was read from `folder`, into the folder `blobs`. */
export async function buildImage(
  core: StoreCore,
  folder: string,
  recipe: Recipe,
  blobs: string,
  { platform: wanted, credentials, signal, onProgress }: BuildImageOptions,
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
  // A recipe of folders only still has a layer that makes them.
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
  { credentials, signal }: Pick<BuildImageOptions, 'credentials' | 'signal'>,
): Promise<ResolvedImage> {
  await using source = await openSource(inFolder(parseReference(text), folder), {
    settings: core.settings,
    work: () => Promise.resolve(path.dirname(blobs)),
    signal,
    credentials,
  });
  const image = await resolveImage(source, platform, core.settings.limits, signal);
  for (const [index, layer] of image.manifest.layers.entries()) {
    await fetchBlob(source, layer, blobs, core.blob(layer.digest), `Layer ${index + 1} of ${source.name}`, { signal });
  }
  return image;
}

/** A path in a recipe is relative to the recipe. */
function inFolder(reference: Reference, folder: string): Reference {
  return 'path' in reference ? { ...reference, path: path.resolve(folder, reference.path) } : reference;
}

/** OCI image spec, "Image Configuration": the base's, with what the recipe says in place of what that says. */
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
