// The JSON documents of an image: indexes, manifests and configurations, in OCI's form and in Docker's, checked and
// brought to one form. OCI image spec v1.1 (image-index, manifest, config); Docker image manifest v2 schema 2.
import { z } from 'zod';
import { BabelhostError, messageOf } from '../base/errors.ts';
import { isDigest, type Digest } from './digest.ts';
import type { Platform } from './platform.ts';

export const mediaTypes = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  layerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  layerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
} as const;

/** The annotation with an image's name in an image layout. OCI image spec, "Pre-Defined Annotation Keys". */
export const refNameAnnotation = 'org.opencontainers.image.ref.name';

export type Compression = 'none' | 'gzip' | 'zstd';

/** The media types of layers: how they are compressed, and their OCI form. */
const layerTypes: Readonly<Record<string, { compression: Compression; mediaType: string }>> = {
  [mediaTypes.layer]: { compression: 'none', mediaType: mediaTypes.layer },
  [mediaTypes.layerGzip]: { compression: 'gzip', mediaType: mediaTypes.layerGzip },
  [mediaTypes.layerZstd]: { compression: 'zstd', mediaType: mediaTypes.layerZstd },
  'application/vnd.docker.image.rootfs.diff.tar': { compression: 'none', mediaType: mediaTypes.layer },
  'application/vnd.docker.image.rootfs.diff.tar.gzip': { compression: 'gzip', mediaType: mediaTypes.layerGzip },
  'application/vnd.docker.image.rootfs.diff.tar.zstd': { compression: 'zstd', mediaType: mediaTypes.layerZstd },
};

const digestSchema = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), {
  error: ({ input }) =>
    typeof input === 'string' && input.startsWith('sha512:')
      ? 'sha512 is not supported, only sha256'
      : 'not sha256: and 64 hexadecimal digits in lower case',
});

const annotations = z.record(z.string(), z.string()).optional();

const descriptorSchema = z.object({
  mediaType: z.string().optional(),
  digest: digestSchema,
  size: z.int().nonnegative(),
  platform: z.object({ os: z.string(), architecture: z.string(), variant: z.string().optional() }).optional(),
  annotations,
});

/** A pointer to content: its digest and its size in bytes. OCI image spec, "Content Descriptors". */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations?: Readonly<Record<string, string>>;
}

const indexSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  manifests: z.array(descriptorSchema),
  annotations,
});

const manifestSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  artifactType: z.string().optional(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema),
  annotations,
});

// Go marshals an empty slice or map as null, and Docker's configurations are full of such.
const commandLineSchema = z.union([z.string(), z.array(z.string())]).nullish();
const setSchema = z.record(z.string(), z.unknown()).nullish();

const configSchema = z.object({
  created: z.string().optional(),
  author: z.string().optional(),
  architecture: z.string(),
  os: z.string(),
  variant: z.string().optional(),
  config: z
    .object({
      User: z.string().nullish(),
      Env: z.array(z.string()).nullish(),
      Entrypoint: commandLineSchema,
      Cmd: commandLineSchema,
      WorkingDir: z.string().nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
      Volumes: setSchema,
      ExposedPorts: setSchema,
      StopSignal: z.string().nullish(),
    })
    .nullish(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digestSchema).nullable() }),
});

/** How an image's processes are run. OCI image spec, "Image Configuration". */
export interface ImageConfig {
  /** `user`, `uid`, `user:group`, `uid:gid` … or '' for root. */
  readonly user: string;
  /** `NAME=value` each. */
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  /** '' stands for '/'. */
  readonly workingDirectory: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
  readonly exposedPorts: readonly string[];
  readonly stopSignal?: string;
}

/** A whole configuration. */
export interface ImageDocument {
  readonly platform: Platform;
  readonly created?: string;
  readonly author?: string;
  /** The digest of each layer's uncompressed archive, lowest layer first. */
  readonly diffIds: readonly Digest[];
  readonly config: ImageConfig;
}

/** A layer as its manifest describes it. */
export interface LayerDescriptor extends Descriptor {
  readonly compression: Compression;
}

export interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly LayerDescriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

export type TopDocument =
  | { readonly kind: 'index'; readonly manifests: readonly Descriptor[] }
  | { readonly kind: 'manifest'; readonly manifest: Manifest };

/**
 * Reads an index or a manifest, in OCI's form or Docker's, told apart by content: the spec forbids documents that could be
 * read as either.
 * @throws BabelhostError `imageInvalid` if it is neither, or of a kind that cannot be run.
 */
export function parseTopDocument(bytes: Buffer, what: string): TopDocument {
  const value = parseJson(bytes, what);
  const has = (key: string) => typeof value === 'object' && value !== null && key in value;
  if (has('manifests') && (has('layers') || has('config'))) {
    throw invalid(what, 'it is an index and a manifest in one, which the OCI specification forbids');
  }
  if (
    has('fsLayers') ||
    (typeof value === 'object' && value !== null && 'schemaVersion' in value && value.schemaVersion === 1)
  ) {
    throw invalid(what, "it is of Docker's old schema 1: push the image again with a tool of this decade");
  }
  if (has('manifests')) return { kind: 'index', manifests: parseIndex(value, what) };
  const parsed = check(manifestSchema, value, what);
  if (parsed.layers.some((layer) => /foreign|nondistributable/.test(layer.mediaType ?? ''))) {
    throw invalid(what, 'a layer of it is not distributed with it (a foreign layer), as images of Windows have');
  }
  const layers = parsed.layers.map((layer, position): LayerDescriptor => {
    const type = layerTypes[layer.mediaType ?? ''];
    if (type === undefined) {
      throw invalid(
        what,
        `layer ${position + 1} has the media type '${(layer.mediaType ?? '').slice(0, 100)}', which is no layer of files`,
      );
    }
    return { digest: layer.digest, size: layer.size, ...type };
  });
  return {
    kind: 'manifest',
    manifest: {
      config: { mediaType: mediaTypes.config, digest: parsed.config.digest, size: parsed.config.size },
      layers,
      annotations: parsed.annotations ?? {},
    },
  };
}

/** Reads an index (index.json). */
export function parseIndexDocument(bytes: Buffer, what: string): readonly Descriptor[] {
  return parseIndex(parseJson(bytes, what), what);
}

function parseIndex(value: unknown, what: string): Descriptor[] {
  return check(indexSchema, value, what).manifests.map((entry) => ({
    mediaType: entry.mediaType ?? mediaTypes.manifest,
    digest: entry.digest,
    size: entry.size,
    ...(entry.platform === undefined ? {} : { platform: entry.platform }),
    ...(entry.annotations === undefined ? {} : { annotations: entry.annotations }),
  }));
}

/**
 * Reads an image configuration.
 * @throws BabelhostError `imageInvalid`.
 */
export function parseConfig(bytes: Buffer, what: string): ImageDocument {
  const parsed = checked(configSchema, bytes, what);
  const run = parsed.config ?? {};
  return {
    platform: {
      os: parsed.os,
      architecture: parsed.architecture,
      ...(parsed.variant === undefined ? {} : { variant: parsed.variant }),
    },
    ...(parsed.created === undefined ? {} : { created: parsed.created }),
    ...(parsed.author === undefined ? {} : { author: parsed.author }),
    diffIds: parsed.rootfs.diff_ids ?? [],
    config: {
      user: run.User ?? '',
      env: run.Env ?? [],
      entrypoint: commandLine(run.Entrypoint),
      command: commandLine(run.Cmd),
      workingDirectory: run.WorkingDir ?? '',
      labels: run.Labels ?? {},
      volumes: Object.keys(run.Volumes ?? {}),
      exposedPorts: Object.keys(run.ExposedPorts ?? {}),
      ...(typeof run.StopSignal === 'string' ? { stopSignal: run.StopSignal } : {}),
    },
  };
}

/** The variables of an image's environment by name; one without `=` is empty. */
export function environmentOf({ env }: Pick<ImageConfig, 'env'>): Record<string, string> {
  return Object.fromEntries(
    env.map((text) => {
      const equals = text.indexOf('=');
      return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}

/** Very old images have a string here; Docker runs it with a shell. */
function commandLine(value: string | string[] | null | undefined): string[] {
  if (typeof value === 'string') return value === '' ? [] : ['/bin/sh', '-c', value];
  return value ?? [];
}

/** A manifest with OCI's media types, which every OCI tool reads. */
export function formatManifest({ config, layers, annotations: notes }: Manifest): Buffer {
  return formatJson({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: bare(config),
    layers: layers.map(bare),
    ...(Object.keys(notes).length === 0 ? {} : { annotations: notes }),
  });
}

/** An index document with these descriptors. */
export function formatIndex(manifests: readonly Descriptor[]): Buffer {
  return formatJson({ schemaVersion: 2, mediaType: mediaTypes.index, manifests });
}

export function formatJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function bare({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

function parseJson(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (error) {
    throw invalid(what, `it is not JSON (${messageOf(error)})`, error);
  }
}

/**
 * Parses JSON and checks it.
 * @throws BabelhostError `imageInvalid`; `what` begins the sentence.
 */
export function checked<Schema extends z.ZodType>(schema: Schema, bytes: Buffer, what: string): z.output<Schema> {
  return check(schema, parseJson(bytes, what), what);
}

function check<Schema extends z.ZodType>(schema: Schema, value: unknown, what: string): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const place = (issue?.path.join('.') ?? '').slice(0, 200);
  throw invalid(what, `${place === '' ? 'it' : place}: ${issue?.message ?? 'does not fit'}`, result.error);
}

/** The error of a document that cannot be used; `what` begins the sentence ('The manifest of …'). */
export function invalid(what: string, reason: string, cause?: unknown): BabelhostError {
  return new BabelhostError(
    'imageInvalid',
    `${what} is not valid: ${reason}.`,
    { document: what, reason },
    cause === undefined ? {} : { cause },
  );
}
