// The manifest of a driver image, /opt/driver/etc/manifest.toml, in Babelfish's form.
import { parse as parseToml } from 'smol-toml';
import { z } from 'zod';
import { BabelhostError, messageOf } from '../../base/errors.ts';
import { lazy } from '../../base/lazy.ts';
import { runLimitsSchema } from './run-limits.ts';

/** Where Babelfish's layout has a driver's files in its image. */
export const layout = {
  manifest: '/opt/driver/etc/manifest.toml',
  native: '/opt/driver/bin/native',
} as const;

/** The longest manifest, in bytes; the largest of Babelfish's own has 2 KB. */
export const manifestBytes = 256 * 1024;

/** The longest reason in an error, in characters: a parser's may quote the whole manifest. */
const reasonLength = 1000;

/** The statuses of drivers in Babelfish's manifests, from the least to the most mature. */
export const statuses = ['inactive', 'planning', 'pre-alpha', 'alpha', 'beta', 'stable', 'mature'] as const;

/**
 * A language's name, in lower case. Invisible characters (\p{C}, \p{Z}) would make it pass for another language's, and a
 * dash at its beginning, for an option of a command.
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
 * The features of a driver that takes more in a request than Babelfish's `content` and `encoding`. Others get no more: their
 * decoders may be strict.
 */
export const hintFeatures = { language: 'hint.language', filename: 'hint.filename' } as const;

/**
 * The features of a driver that reads more content than text: a source's bytes in base64, and a source of no bytes. Most of
 * Babelfish's drivers parse the base64 itself, and some fail on what is empty.
 */
export const contentFeatures = { base64: 'content.base64', empty: 'content.empty' } as const;

/** The feature of a driver that returns the `id` of each request with its answer. */
export const requestIdFeature = 'request-id';

/** The feature of a driver that may be written a request before it has answered the last (pipelining.ts). */
export const pipeliningFeature = 'pipelining';

// Loose: Babelfish's manifests have more tables and keys ([runtime], [maintainers], sdk_version, …).
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

/** A manifest as babelhost keeps it in drivers.json and sends it to clients. Languages are in lower case. */
export const keptManifest = lazy(() => {
  const text = z.string();
  const texts = z.array(text);
  return z.object({
    name: text,
    language: text,
    aliases: texts,
    version: text.optional(),
    status: text.optional(),
    features: texts,
    documentation: text.optional(),
    limits: runLimitsSchema().optional().describe('What it asks for; it can only have less than the defaults.'),
  });
});

type KeptManifest = z.output<ReturnType<typeof keptManifest>>;
export type Manifest = { readonly [Name in keyof KeptManifest]: Readonly<KeptManifest[Name]> };

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
  return {
    name: name ?? language,
    language,
    aliases: [...new Set(aliases)].filter((alias) => alias !== language),
    version,
    status,
    features,
    documentation: typeof documentation === 'string' ? documentation : documentation?.description,
    limits,
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
