// The JSON documents of an image: indexes, manifests and configurations, in OCI's form and in Docker's, checked and
// brought to one form. OCI image spec v1.1 (image-index, manifest, config); Docker image manifest v2 schema 2.
import { z } from 'zod';
import { BabelhostError, messageOf } from '../base/errors.ts';
import { lazy } from '../base/lazy.ts';
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

/** The annotation by which an image layout names its images. OCI image spec, "Pre-Defined Annotation Keys". */
export const refNameAnnotation = 'org.opencontainers.image.ref.name';

export type Compression = 'none' | 'gzip' | 'zstd';

/** How each media type that a layer may have is compressed, and what it is called in OCI's form. */
const layerTypes: Readonly<Record<string, { compression: Compression; mediaType: string }>> = {
  [mediaTypes.layer]: { compression: 'none', mediaType: mediaTypes.layer },
  [mediaTypes.layerGzip]: { compression: 'gzip', mediaType: mediaTypes.layerGzip },
  [mediaTypes.layerZstd]: { compression: 'zstd', mediaType: mediaTypes.layerZstd },
  'application/vnd.docker.image.rootfs.diff.tar': { compression: 'none', mediaType: mediaTypes.layer },
  'application/vnd.docker.image.rootfs.diff.tar.gzip': { compression: 'gzip', mediaType: mediaTypes.layerGzip },
  'application/vnd.docker.image.rootfs.diff.tar.zstd': { compression: 'zstd', mediaType: mediaTypes.layerZstd },
};

/** What the schemas below are made of. Each is made once, for a host's first answer waits for them. */
const parts = lazy(() => {
  const text = z.string();
  const optionalText = text.optional();
  const digest = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), {
    error: ({ input }) =>
      typeof input === 'string' && input.startsWith('sha512:')
        ? 'sha512 is not supported, only sha256'
        : 'not sha256: and 64 hexadecimal digits in lower case',
  });
  const notes = z.record(text, text);
  const annotations = notes.optional();
  const descriptor = z.object({
    mediaType: optionalText,
    digest,
    size: z.int().nonnegative(),
    platform: z.object({ os: text, architecture: text, variant: optionalText }).optional(),
    annotations,
  });
  return { text, optionalText, digest, notes, annotations, descriptor, schemaVersion: z.literal(2) };
});

/** A pointer to content: its digest and its size in bytes. OCI image spec, "Content Descriptors". */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations?: Readonly<Record<string, string>>;
}

const index = lazy(() => {
  const { schemaVersion, optionalText, descriptor, annotations } = parts();
  return z.object({ schemaVersion, mediaType: optionalText, manifests: z.array(descriptor), annotations });
});

const manifest = lazy(() => {
  const { schemaVersion, optionalText, descriptor, annotations } = parts();
  return z.object({
    schemaVersion,
    mediaType: optionalText,
    artifactType: optionalText,
    config: descriptor,
    layers: z.array(descriptor),
    annotations,
  });
});

const config = lazy(() => {
  const { text, optionalText, digest, notes } = parts();
  // Go marshals an empty slice or map as null, and Docker's configurations are full of such.
  const givenText = text.nullish();
  const texts = z.array(text);
  const commandLine = z.union([text, texts]).nullish();
  const names = z.record(text, z.unknown()).nullish();
  return z.object({
    created: optionalText,
    author: optionalText,
    architecture: text,
    os: text,
    variant: optionalText,
    config: z
      .object({
        User: givenText,
        Env: texts.nullish(),
        Entrypoint: commandLine,
        Cmd: commandLine,
        WorkingDir: givenText,
        Labels: notes.nullish(),
        Volumes: names,
        ExposedPorts: names,
        StopSignal: givenText,
      })
      .nullish(),
    rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digest).nullable() }),
  });
});

/** What an image says about how to run it. OCI image spec, "Image Configuration". */
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

/** A configuration with what concerns the image rather than its processes. */
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
 * Reads an index or a manifest, in OCI's form or Docker's. Which of both it is, its own content decides: the spec
 * forbids a document that could be read as either.
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
  const parsed = check(manifest(), value, what);
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

/** Reads an index whose place says that it is one (index.json). */
export function parseIndexDocument(bytes: Buffer, what: string): readonly Descriptor[] {
  return parseIndex(parseJson(bytes, what), what);
}

function parseIndex(value: unknown, what: string): Descriptor[] {
  return check(index(), value, what).manifests.map((entry) => ({
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
  const parsed = check(config(), parseJson(bytes, what), what);
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

/** Very old images have a string here; Docker runs it with a shell. */
function commandLine(value: string | string[] | null | undefined): string[] {
  if (typeof value === 'string') return value === '' ? [] : ['/bin/sh', '-c', value];
  return value ?? [];
}

/** The manifest as the store keeps it: OCI's media types, whatever it came with, so that every OCI tool reads it. */
export function formatManifest({ config: configuration, layers, annotations: notes }: Manifest): Buffer {
  return formatJson({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: bare(configuration),
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

function bare({ mediaType, digest: name, size }: Descriptor): Descriptor {
  return { mediaType, digest: name, size };
}

function parseJson(bytes: Buffer, what: string): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (error) {
    throw invalid(what, `it is not JSON (${messageOf(error)})`, error);
  }
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
