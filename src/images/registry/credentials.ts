// Credentials in Docker's config.json, podman's auth.json, and the helpers that these name. containers-auth.json(5);
// docker-credential-helpers' protocol. They go only to their registry: not into logs, errors or files.
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { BabelhostError } from '../../base/errors.ts';
import { ifThere } from '../store/layout.ts';
import type { Credentials } from './settings.ts';

const entry = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
});

const file = z.looseObject({
  auths: z.record(z.string(), entry).default({}),
  credHelpers: z.record(z.string(), z.string()).default({}),
  credsStore: z.string().optional(),
});

/** How long a credential helper may take, in milliseconds: it may ask a key ring, but nobody can type an answer. */
const helperTimeoutMs = 30_000;

/** Docker Hub's key in these files. */
const dockerHubKey = 'https://index.docker.io/v1/';

/**
 * Finds credentials for a repository in the first of `files` that has any for it; undefined if none has.
 * @throws BabelhostError `imageUnauthorized` if a file is malformed or a helper that it names fails.
 */
export async function findCredentials(
  host: string,
  repository: string,
  files: readonly string[],
): Promise<Credentials | undefined> {
  for (const path of files) {
    const bytes = await ifThere(readFile(path));
    if (bytes === undefined) continue;
    const found = await fromFile(path, bytes, host, repository);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function fromFile(
  path: string,
  bytes: Buffer,
  host: string,
  repository: string,
): Promise<Credentials | undefined> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    // Not the parser's message, which quotes the file.
    throw unusable(path, 'it is not JSON');
  }
  const parsed = file.safeParse(value);
  if (!parsed.success)
    throw unusable(path, `'${parsed.error.issues[0]?.path[0]?.toString() ?? ''}' is not as it should be`);
  const { auths, credHelpers, credsStore } = parsed.data;
  const key = host === 'docker.io' ? dockerHubKey : host;
  const helper = credHelpers[host] ?? credHelpers[key];
  if (helper !== undefined) return await fromHelper(path, helper, key);
  for (const candidate of keysFor(host, repository)) {
    const found = Object.entries(auths).find(([name]) => normalised(name) === candidate)?.[1];
    const credentials = found === undefined ? undefined : fromEntry(path, found);
    if (credentials !== undefined) return credentials;
  }
  return credsStore === undefined ? undefined : await fromHelper(path, credsStore, key);
}

/** The repository, the paths above it, and its host: the most specific first. */
function keysFor(host: string, repository: string): string[] {
  const keys: string[] = [];
  for (let name = `${host}/${repository}`; name !== ''; name = name.slice(0, Math.max(0, name.lastIndexOf('/')))) {
    keys.push(name);
  }
  return keys;
}

/** A key as a name: keys may be URLs, and Docker Hub has several names. */
function normalised(key: string): string {
  const name = key.replace(/^https?:\/\//, '').replace(/\/(?:v[12]\/?)?$/, '');
  return /^(?:index\.docker\.io|registry-1\.docker\.io|docker\.io)(?:\/v1)?$/.test(name) ? 'docker.io' : name;
}

function fromEntry(path: string, found: z.output<typeof entry>): Credentials | undefined {
  if (found.identitytoken !== undefined && found.identitytoken !== '') return { identityToken: found.identitytoken };
  if (found.registrytoken !== undefined && found.registrytoken !== '') return { registryToken: found.registrytoken };
  if (found.auth !== undefined && found.auth !== '') {
    const text = Buffer.from(found.auth, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    if (colon < 0) throw unusable(path, "an 'auth' in it is not a user and a password");
    // Docker pads with NULs.
    return { username: text.slice(0, colon), password: text.slice(colon + 1).replace(/\0+$/, '') };
  }
  if (found.username !== undefined && found.password !== undefined) {
    return { username: found.username, password: found.password };
  }
  return undefined;
}

async function fromHelper(path: string, helper: string, key: string): Promise<Credentials | undefined> {
  if (!/^[\w.-]+$/.test(helper)) throw unusable(path, 'the name of a credential helper in it is no name');
  const program = `docker-credential-${helper}`;
  // Loaded when a helper is used, as it has a hundred modules.
  const { execa } = await import('execa');
  const { stdout, exitCode, failed, ...rest } = await execa(program, ['get'], {
    input: key,
    reject: false,
    timeout: helperTimeoutMs,
    maxBuffer: 1024 ** 2,
    stderr: 'ignore',
  });
  if (failed) {
    if (/credentials not found/i.test(stdout)) return undefined;
    const missing = 'code' in rest && rest.code === 'ENOENT';
    throw unusable(
      path,
      missing ? `it names ${program}, which is not on PATH` : `${program} failed (${exitCode ?? 'killed'})`,
    );
  }
  const answer = z.object({ Username: z.string(), Secret: z.string() }).safeParse(parseOrUndefined(stdout));
  if (!answer.success) throw unusable(path, `${program} gave no user and secret`);
  const { Username, Secret } = answer.data;
  return Username === '<token>' ? { identityToken: Secret } : { username: Username, password: Secret };
}

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function unusable(path: string, reason: string): BabelhostError {
  return new BabelhostError('imageUnauthorized', `The credentials in ${path} cannot be used: ${reason}.`, {
    path,
    reason,
  });
}
