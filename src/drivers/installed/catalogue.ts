// The catalogue file, in TOML: the driver images that can be installed, with their languages and statuses. One ships with the
// project; a user's own takes its place.
import path from 'node:path';
import { parse as parseToml, TomlError } from 'smol-toml';
import { z } from 'zod';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { readRegularFile } from '../../base/regular-file.ts';
import { formatReference, parsePlatform, parseReference } from '../../images/index.ts';
import { languageName, statuses } from './manifest.ts';

export type Status = (typeof statuses)[number];

/** A driver of the file. It comes from a registry or archive, or is built from its recipe. */
export interface CatalogueEntry {
  readonly language: string;
  readonly status: Status;
  /** Whether its status is at least beta: what Babelfish recommends. */
  readonly recommended: boolean;
  /** Paths in it are absolute. */
  readonly source: { readonly reference: string } | { readonly recipe: string };
  /** `os/architecture[/variant]`. */
  readonly platform?: string;
}

export interface Catalogue {
  readonly file: string;
  readonly entries: readonly CatalogueEntry[];
}

/** Where the file may be, in the order in which it is looked for. */
export interface CataloguePlaces {
  /** Named by the user: it must be there. */
  readonly named: string | undefined;
  /** A folder in which catalogue.toml may be. */
  readonly root: string;
  /** The project's own. */
  readonly shipped: string;
}

/** Longer than any catalogue that people write by hand, in bytes. */
const largestFile = 1024 * 1024;

const entrySchema = z
  .strictObject({
    language: languageName(),
    status: z.preprocess((value) => (typeof value === 'string' ? value.toLowerCase() : value), z.enum(statuses)),
    reference: z.string().min(1).optional(),
    recipe: z.string().min(1).optional(),
    platform: z.string().min(1).optional(),
  })
  .refine((entry) => (entry.reference === undefined) !== (entry.recipe === undefined), {
    error: 'needs either a reference or a recipe',
  });

const fileSchema = z.strictObject({ driver: z.array(entrySchema).max(1000).default([]) });

/**
 * Reads the catalogue file: the one that is named, else the root's, else the project's own.
 * @throws BabelhostError `notFound` where a named file is not there; `imageInvalid` with the line or the field where it
 * does not fit
 */
export async function readCatalogue({ named, root, shipped }: CataloguePlaces): Promise<Catalogue> {
  if (named !== undefined) return await readRequired(named);
  const own = path.join(root, 'catalogue.toml');
  try {
    return parseCatalogue(own, await readText(own));
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
  return await readRequired(shipped);
}

/**
 * The drivers of a file that are wanted.
 * @throws BabelhostError `notFound` where there is none: an empty selection would look like a success
 */
export function selectDrivers({ file, entries }: Catalogue, which: 'all' | 'recommended'): CatalogueEntry[] {
  const selected = entries.filter(({ recommended }) => which === 'all' || recommended);
  if (selected.length > 0) return selected;
  const reason =
    entries.length === 0
      ? 'lists no driver'
      : `lists ${entries.length === 1 ? 'one driver' : `${entries.length} drivers`}, and recommends none (a status of beta, stable or mature does)`;
  throw new BabelhostError('notFound', `There is nothing to install: the catalogue file ${file} ${reason}.`, {
    path: file,
    select: which,
    listed: entries.length,
  });
}

async function readRequired(file: string): Promise<Catalogue> {
  let text: string;
  try {
    text = await readText(file);
  } catch (error) {
    if (error instanceof BabelhostError) throw error;
    throw new BabelhostError(
      'notFound',
      `The catalogue file ${file} cannot be read: ${messageOf(error)}.`,
      { path: file, code: systemErrorCode(error) },
      { cause: error },
    );
  }
  return parseCatalogue(file, text);
}

async function readText(file: string): Promise<string> {
  const bytes = await readRegularFile(file, largestFile);
  if (bytes.length > largestFile) throw invalid(file, `it has more than ${largestFile} bytes`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalid(file, 'it is not UTF-8');
  }
}

function parseCatalogue(file: string, text: string): Catalogue {
  const checked = fileSchema.safeParse(parseDocument(file, text));
  if (!checked.success) {
    const [issue] = checked.error.issues;
    throw invalidField(file, issue?.path ?? [], issue?.message ?? 'does not fit');
  }
  const languages = new Set<string>();
  const entries = checked.data.driver.map((entry, index): CatalogueEntry => {
    const { language, status, reference, recipe, platform } = entry;
    const field = (name: string): PropertyKey[] => ['driver', index, name];
    if (languages.has(language)) throw invalidField(file, field('language'), `${language} is listed twice`);
    languages.add(language);
    if (platform !== undefined) inField(file, field('platform'), () => parsePlatform(platform));
    return {
      language,
      status,
      recommended: statuses.indexOf(status) >= statuses.indexOf('beta'),
      source:
        recipe !== undefined
          ? { recipe: path.resolve(path.dirname(file), recipe) }
          : { reference: inField(file, field('reference'), () => absoluteReference(reference ?? '', file)) },
      ...(platform !== undefined && { platform }),
    };
  });
  return { file, entries };
}

/** A path in the file is relative to the file. */
function absoluteReference(text: string, file: string): string {
  const reference = parseReference(text);
  return 'path' in reference
    ? formatReference({ ...reference, path: path.resolve(path.dirname(file), reference.path) })
    : text;
}

function parseDocument(file: string, text: string): unknown {
  try {
    return parseToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw invalid(file, `line ${error.line}, column ${error.column}: ${error.message.split('\n')[0] ?? ''}`, {
      line: error.line,
      column: error.column,
    });
  }
}

function inField<T>(file: string, field: readonly PropertyKey[], read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof BabelhostError ? invalidField(file, field, error.message) : error;
  }
}

/** The error of a field, named as in `driver[2].status`, counted from 1. */
function invalidField(file: string, field: readonly PropertyKey[], reason: string): BabelhostError {
  const name = field.map((part) => (typeof part === 'number' ? `[${part + 1}]` : `.${String(part)}`)).join('');
  return invalid(file, `${name.replace(/^\./, '')}${name === '' ? '' : ': '}${reason}`, {
    ...(name !== '' && { field: name.replace(/^\./, '') }),
  });
}

function invalid(file: string, reason: string, data: object = {}): BabelhostError {
  return new BabelhostError(
    'imageInvalid',
    `The catalogue file ${file} cannot be used: ${reason.replace(/\.$/, '')}.`,
    { ...data, path: file, reason },
  );
}
