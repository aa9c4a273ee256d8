// The manifest of a driver image, /opt/driver/etc/manifest.toml, in Babelfish's form.
import { parse as parseToml } from 'smol-toml';
import { z } from 'zod';
import { BabelhostError, messageOf } from '../../base/errors.ts';
import { lazy } from '../../base/lazy.ts';
import { runLimitsSchema, type RunLimitsTable } from './run-limits.ts';

/** Where Babelfish's layout has a driver's files in its image. */
export const layout = {
  manifest: '/opt/driver/etc/manifest.toml',
  native: '/opt/driver/bin/native',
} as const;

/** No manifest is longer than this many bytes; the largest of Babelfish's own has 2 KB. */
export const manifestBytes = 256 * 1024;

/** Of what is wrong with a manifest, this many characters are told: it may be all of the manifest. */
const reasonLength = 1000;

/** How far a driver is, as Babelfish's manifests have it, from the least to the most. */
export const statuses = ['inactive', 'planning', 'pre-alpha', 'alpha', 'beta', 'stable', 'mature'] as const;

/**
 * A language as manifests name it, in lower case. Nothing that cannot be seen (\p{C}, \p{Z}) is in it: it would pass for
 * another language's name; and no command takes it for an option.
 */
export const languageName = lazy(() =>
  z
    .string()
    .min(1)
    .max(128)
    .regex(
      /^(?!-)[^\p{Z}\p{C}/\\]+$/u,
      'must be a word without spaces, slashes, invisible characters or a leading dash',
    )
    .transform((language) => language.toLowerCase()),
);

/**
 * Features by which a driver says that it takes more in a request than Babelfish's `content` and `encoding`: a driver
 * whose decoder is strict must never see a member that it does not know.
 */
export const hintFeatures = { language: 'hint.language', filename: 'hint.filename' } as const;

/** The feature of a driver that returns the `id` of each request with its answer. */
export const requestIdFeature = 'request-id';

/** The feature of a driver that may be written a request before it has answered the last; it returns ids as well. */
export const pipeliningFeature = 'pipelining';

// Babelfish's manifests have more ([runtime], [maintainers], sdk_version, …): what is not used here is let through.
const manifestSchema = lazy(() =>
  z.looseObject({
    name: z.string().max(1024).optional(),
    language: languageName(),
    aliases: z.array(languageName()).max(100).default([]),
    version: z.string().max(256).optional(),
    status: z.string().max(256).optional(),
    features: z.array(z.string().max(256)).max(100).default([]),
    limits: runLimitsSchema().optional(),
    documentation: z
      .union([z.string(), z.looseObject({ description: z.string().optional(), caveats: z.string().optional() })])
      .optional(),
  }),
);

export interface Manifest {
  readonly name: string;
  /** Lower case, as Babelfish compares languages. */
  readonly language: string;
  readonly aliases: readonly string[];
  readonly version?: string;
  readonly status?: string;
  readonly features: readonly string[];
  readonly documentation?: string;
  /** What it asks for, of the limits of its containers; it can only have less than the defaults. */
  readonly limits?: RunLimitsTable;
}

/**
 * Reads a manifest.
 * @param bytes the file's content
 * @throws BabelhostError `driverMalformed` naming what is wrong, with the line where TOML tells it
 */
export function parseManifest(bytes: Uint8Array): Manifest {
  let document: unknown;
  try {
    document = parseToml(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const [firstLine = ''] = messageOf(error).split('\n');
    throw malformed(firstLine, error);
  }
  const checked = manifestSchema().safeParse(document);
  if (!checked.success) {
    throw malformed(
      checked.error.issues.map((issue) => `${issue.path.join('.') || 'the file'}: ${issue.message}`).join('; '),
    );
  }
  const { name, language, aliases, version, status, features, documentation, limits } = checked.data;
  const text = typeof documentation === 'string' ? documentation : documentation?.description;
  return {
    name: name ?? language,
    language,
    aliases: [...new Set(aliases)].filter((alias) => alias !== language),
    ...(version !== undefined && { version }),
    ...(status !== undefined && { status }),
    features,
    ...(text !== undefined && { documentation: text }),
    ...(limits !== undefined && { limits }),
  };
}

function malformed(whole: string, cause?: unknown): BabelhostError {
  const reason = whole.length > reasonLength ? `${whole.slice(0, reasonLength)}…` : whole;
  return new BabelhostError(
    'driverMalformed',
    `The image's manifest ${layout.manifest} is not a driver manifest: ${reason}`,
    { path: layout.manifest, reason },
    { cause },
  );
}
