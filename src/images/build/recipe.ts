// The recipe of an image: image.toml in a folder. This file is the format's definition; docs/ explains it.
import path from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { z } from 'zod';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';
import { readRegularFile } from '../../base/regular-file.ts';

/** Where something goes in the image. */
const place = z.string().regex(/^\/(?!.*(?:^|\/)\.\.(?:\/|$))/, "must be absolute and without '..'");

const mode = z
  .string()
  .regex(/^0?[0-7]{3,4}$/, 'must be octal, such as "0755"')
  .transform((text) => Number.parseInt(text, 8));

/**
 * Files of this machine. `from` is relative to the recipe's folder, or absolute:
 * - a file: `to` is its place (or the folder it goes into, if `to` ends with a slash);
 * - a folder: `to` is the place of the folder, and what is in it goes below;
 * - a glob (with `*`, `?`, `[` or `{`): `to` is a folder, and each match goes below it under its path from the last folder
 *   before the first wildcard: `from = "/usr/lib/python3.*", to = "/usr/lib"` gives /usr/lib/python3.11.
 * `module` instead is an npm package, found as Node finds it from the recipe's folder, without its own node_modules.
 */
const files = z
  .strictObject({
    from: z.string().min(1).optional(),
    module: z.string().min(1).optional(),
    to: place,
    /** For each file; folders have 0755, and files otherwise 0755 or 0644 by whether they may be executed. */
    mode: mode.optional(),
    /** Globs on paths relative to the folder (or to the glob's base); `X/**` leaves out X itself too. */
    exclude: z.array(z.string().min(1)).default([]),
    /** Also the shared libraries that the ELF files among them need. */
    libraries: z.boolean().default(false),
  })
  .refine((value) => (value.from === undefined) !== (value.module === undefined), 'needs either `from` or `module`');

/** A program of this machine with the loader and the shared libraries it needs. */
const executable = z.strictObject({
  /** Found on PATH, or an absolute path. */
  name: z.string().min(1),
  /** Default: the path it was found at, links followed. */
  to: place.optional(),
});

const layer = z.strictObject({
  files: z.array(files).default([]),
  executables: z.array(executable).default([]),
});

const recipe = z.strictObject({
  /** The image's name, unless another is given on the call. */
  name: z.string().min(1).optional(),
  /** A reference: the layers go on top of that image's. */
  base: z.string().min(1).optional(),
  /** `os/architecture[/variant]`; default this machine's. */
  platform: z.string().min(1).optional(),
  compression: z.enum(['none', 'gzip', 'zstd']).default('gzip'),
  /** Empty folders, in the first layer; /tmp and /var/tmp are for everyone (1777), others 0755. */
  directories: z.array(place).default([]),
  layer: z.array(layer).default([]),
  config: z
    .strictObject({
      user: z.string().optional(),
      workdir: place.optional(),
      entrypoint: z.array(z.string()).optional(),
      command: z.array(z.string()).optional(),
      /** Sorted by name in the image. */
      env: z.record(z.string().regex(/^[^=\0]+$/, 'is no name of a variable'), z.string()).default({}),
      labels: z.record(z.string().min(1), z.string()).default({}),
    })
    .default({ env: {}, labels: {} }),
});

export type Recipe = z.output<typeof recipe>;
export type RecipeLayer = Recipe['layer'][number];
export type RecipeFiles = RecipeLayer['files'][number];

/** A recipe is written by a person; what is longer is something else. */
const recipeLimit = 1024 ** 2;

/**
 * Reads image.toml of `folder`.
 * @throws BabelhostError `notFound` if there is none; `imageInvalid`, with the line or the key, if it does not fit.
 */
export async function readRecipe(folder: string): Promise<Recipe> {
  const file = path.join(folder, 'image.toml');
  let text: string;
  try {
    const bytes = await readRegularFile(file, recipeLimit);
    if (bytes.length > recipeLimit) throw recipeError(file, `it has more than ${recipeLimit} bytes`);
    text = bytes.toString('utf8');
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new BabelhostError(
      'notFound',
      `There is no image.toml in ${folder}: 'image build' takes the folder of a recipe.`,
      { path: file },
      { cause: error },
    );
  }
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    if (error instanceof TomlError)
      throw recipeError(file, `line ${error.line}: ${error.message.split('\n')[0] ?? ''}`);
    throw error;
  }
  const result = recipe.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw recipeError(file, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'does not fit'}`);
}

/** The error of something in a recipe; `reason` names the key or the line. */
export function recipeError(file: string, reason: string, data: object = {}): BabelhostError {
  return new BabelhostError('imageInvalid', `The recipe ${file} cannot be built: ${reason}.`, {
    ...data,
    path: file,
    reason,
  });
}
