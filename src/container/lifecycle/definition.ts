// What defines a container: what a commit changes and what survives the host.
import { z } from 'zod';
import { BabelhostError } from '../../base/errors.ts';
import { isContainerId } from '../id.ts';
import type { RunLimits } from './limits.ts';

const entryPoint = z.strictObject({
  args: z.array(z.string()).min(1).readonly(),
  env: z.record(z.string(), z.string()).readonly(),
  /** The working directory: an absolute path in the container. */
  cwd: z.string(),
  /** As an image's configuration has it: '', 'uid', 'uid:gid', or names that the image knows. */
  user: z.string(),
});

/** What a container executes. */
export type EntryPoint = Readonly<z.infer<typeof entryPoint>>;

const whole = z.int().nonnegative();
const pendingFile = z.strictObject({
  path: z.string(),
  mode: whole,
  size: whole,
  /** Of the file with its content, in the container's folder. */
  name: z.string().regex(/^\w+$/),
});

/** A file to be copied into a container at its next start. */
export type PendingFile = Readonly<z.infer<typeof pendingFile>>;

const ownLimits: z.ZodType<Partial<RunLimits>> = z.record(z.string(), z.number());

const definition = z.strictObject({
  id: z.string().refine(isContainerId),
  /** 1 for the first commit, and one more with each. */
  generation: z.int().positive(),
  /** The digest of the image whose root file system is leased. */
  image: z.string(),
  createdAt: z.string(),
  hostname: z.string(),
  /** Whether what it writes to its root is kept, in a layer of its own; otherwise its root is read-only. */
  writable: z.boolean(),
  entryPoint,
  /** Without those that are the defaults. */
  limits: ownLimits,
  pending: z.array(pendingFile).readonly(),
});

export type Definition = Readonly<z.infer<typeof definition>>;

/** Reads a definition from the bytes of its file. Throws if they are not one. */
export function parseDefinition(bytes: Buffer): Definition {
  return definition.parse(JSON.parse(bytes.toString('utf8')));
}

/** Linux's limits of a path (PATH_MAX), an argument or variable (MAX_ARG_STRLEN) and a host name, and ours of a list. */
const longest = { path: 4095, text: 131_071, hostname: 64, list: 4096 };

/** @throws BabelhostError `containerFailed` for what cannot be executed */
export function checkEntryPoint({ args, env, cwd, user }: EntryPoint): void {
  const refuse = (what: string) =>
    new BabelhostError('containerFailed', `The entry point cannot be executed: ${what}.`, { reason: what });
  if (args.length === 0 || args[0] === '') throw refuse('it has no command: give args, or an image that has some');
  if (args.length > longest.list || Object.keys(env).length > longest.list) {
    throw refuse(`it has more than ${longest.list} arguments or variables`);
  }
  for (const text of [...args, ...Object.entries(env).flat(), user]) {
    if (text.includes('\0')) throw refuse('an argument, a variable or the user has a zero byte');
    if (Buffer.byteLength(text) > longest.text) throw refuse(`an argument or variable exceeds ${longest.text} bytes`);
  }
  for (const name of Object.keys(env)) {
    if (name === '' || name.includes('=')) throw refuse(`'${name}' is no name of a variable`);
  }
  checkPath(cwd, 'The working directory');
}

/** @throws BabelhostError `containerFailed` unless it is an absolute path */
export function checkPath(path: string, what: string): void {
  if (path.startsWith('/') && !path.includes('\0') && Buffer.byteLength(path) <= longest.path) return;
  const message = `${what} is an absolute path in the container, of ${longest.path} bytes at the most, not '${path.slice(0, 100)}'.`;
  throw new BabelhostError('containerFailed', message, { path: path.slice(0, 1000) });
}

/** @throws BabelhostError `containerFailed` for what the kernel would not take (sethostname(2)) */
export function checkHostname(hostname: string): void {
  if (/^[A-Za-z0-9.-]+$/.test(hostname) && hostname.length <= longest.hostname) return;
  throw new BabelhostError('containerFailed', `'${hostname.slice(0, 100)}' is no host name.`, { hostname });
}
