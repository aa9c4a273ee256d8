// The registries' configuration: mirrors, other locations, insecure registries. containers-registries.conf(5), version 2:
// `[[registry]]` with prefix, location, insecure, blocked and `[[registry.mirror]]`.
import { readFile } from 'node:fs/promises';
import { parse, TomlError } from 'smol-toml';
import { z } from 'zod';
import { BabelhostError, messageOf } from '../../base/errors.ts';
import type { DockerReference } from '../reference.ts';
import { ifThere } from '../store/layout.ts';

const mirror = z.object({
  location: z.string().min(1),
  insecure: z.boolean().default(false),
  'pull-from-mirror': z.enum(['all', 'digest-only', 'tag-only']).default('all'),
});

const registry = z.object({
  prefix: z.string().min(1).optional(),
  location: z.string().optional(),
  insecure: z.boolean().default(false),
  blocked: z.boolean().default(false),
  'mirror-by-digest-only': z.boolean().default(false),
  mirror: z.array(mirror).default([]),
});

// Version 2's other keys are about short names, which are Docker Hub's here, and about credential helpers.
const configuration = z.looseObject({ registry: z.array(registry).default([]) });

type Registry = z.output<typeof registry>;

/** A repository at a host. */
export interface Endpoint {
  /** `host[:port]`. */
  readonly host: string;
  readonly repository: string;
  /** Whether http, and https with any certificate, is accepted. */
  readonly insecure: boolean;
}

/**
 * The places to try for a reference, in order: mirrors first, except to push.
 * @throws BabelhostError `imageUnauthorized` if the configuration blocks the registry; `imageInvalid` if it is malformed.
 */
export async function endpointsOf(
  reference: DockerReference,
  files: readonly string[],
  purpose: 'pull' | 'push',
): Promise<[Endpoint, ...Endpoint[]]> {
  const plain: Endpoint = { host: reference.registry, repository: reference.repository, insecure: false };
  const name = `${reference.registry}/${reference.repository}`;
  const found = mostSpecific(await readRegistries(files), name);
  if (found === undefined) return [plain];
  const prefix = found.prefix ?? found.location ?? '';
  if (found.blocked) {
    throw new BabelhostError(
      'imageUnauthorized',
      `The registry of ${name} is blocked in the registries' configuration (prefix '${prefix}').`,
      { reference: name, prefix, reason: 'blocked' },
    );
  }
  const rewritten = (location: string | undefined, insecure: boolean): Endpoint => {
    if (location === undefined || location === '' || prefix.startsWith('*.')) return { ...plain, insecure };
    const full = `${location}${name.slice(prefix.length)}`;
    const slash = full.indexOf('/');
    return { host: full.slice(0, slash), repository: full.slice(slash + 1), insecure };
  };
  const own = rewritten(found.location, found.insecure);
  if (purpose === 'push') return [own];
  const byDigest = reference.digest !== undefined;
  const mirrors = found.mirror
    .filter((other) => {
      const when = found['mirror-by-digest-only'] ? 'digest-only' : other['pull-from-mirror'];
      return when === 'all' || (when === 'digest-only') === byDigest;
    })
    .map((other) => rewritten(other.location, other.insecure));
  const [first, ...rest] = mirrors;
  return first === undefined ? [own] : [first, ...rest, own];
}

/**
 * The hosts that the configuration names, as registries' locations or mirrors.
 * @throws BabelhostError `imageInvalid` if it is malformed.
 */
export async function namedHosts(files: readonly string[]): Promise<Pick<Endpoint, 'host' | 'insecure'>[]> {
  return (await readRegistries(files))
    .filter(({ blocked }) => !blocked)
    .flatMap(({ prefix, location = prefix, insecure, mirror: mirrors }) => [{ location, insecure }, ...mirrors])
    .map(({ location = '', insecure }) => ({ host: location.split('/', 1)[0] ?? '', insecure }))
    .filter(({ host }) => !host.startsWith('*.'));
}

async function readRegistries(files: readonly string[]): Promise<Registry[]> {
  for (const file of files) {
    const bytes = await ifThere(readFile(file));
    if (bytes === undefined) continue;
    try {
      return configuration.parse(parse(bytes.toString('utf8'))).registry;
    } catch (error) {
      if (!(error instanceof TomlError) && !(error instanceof z.ZodError)) throw error;
      throw new BabelhostError(
        'imageInvalid',
        `The registries' configuration ${file} cannot be read: ${messageOf(error).split('\n').slice(0, 3).join(' ')}.`,
        { path: file, reason: 'configuration' },
        { cause: error },
      );
    }
  }
  return [];
}

/** The entry with the longest prefix of `name`, in whole components. */
function mostSpecific(registries: readonly Registry[], name: string): Registry | undefined {
  let best: Registry | undefined;
  let length = -1;
  for (const candidate of registries) {
    const prefix = candidate.prefix ?? candidate.location;
    if (prefix === undefined || prefix.length <= length) continue;
    const host = name.split('/', 1)[0] ?? '';
    const fits = prefix.startsWith('*.')
      ? host.replace(/:\d+$/, '').endsWith(prefix.slice(1))
      : name === prefix || name.startsWith(`${prefix}/`);
    if (!fits) continue;
    best = candidate;
    length = prefix.length;
  }
  return best;
}
