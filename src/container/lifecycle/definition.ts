// What a container is defined by: what a commit changes and what survives the host.
import { z } from 'zod';
import { BabelhostError } from '../../base/errors.ts';
import { lazy } from '../../base/lazy.ts';
import { isContainerId, type ContainerId } from '../id.ts';
import type { RunLimits } from './limits.ts';

/** What a container executes. */
export interface EntryPoint {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** The working directory: an absolute path in the container. */
  readonly cwd: string;
  /** As an image's configuration has it: '', 'uid', 'uid:gid', or names that the image knows. */
  readonly user: string;
}

/** A file that is to be copied into a container at its next start; its content lies beside the definition. */
export interface PendingFile {
  readonly path: string;
  readonly mode: number;
  readonly size: number;
  /** The name of the file with its content. */
  readonly name: string;
}

export interface Definition {
  readonly id: ContainerId;
  /** 1 for the first commit, and one more with each. */
  readonly generation: number;
  /** What the root file system is leased by: an image's digest. */
  readonly image: string;
  readonly createdAt: string;
  readonly hostname: string;
  /** Whether what it writes to its root is kept, in a layer of its own; otherwise its root is read-only. */
  readonly writable: boolean;
  readonly entryPoint: EntryPoint;
  /** Those that it sets itself. */
  readonly limits: Partial<RunLimits>;
  readonly pending: readonly PendingFile[];
}

const schema = lazy(() => {
  const whole = z.int().nonnegative();
  return z.strictObject({
    id: z.string().refine(isContainerId),
    generation: z.int().positive(),
    image: z.string(),
    createdAt: z.string(),
    hostname: z.string(),
    writable: z.boolean(),
    entryPoint: z.strictObject({
      args: z.array(z.string()).min(1),
      env: z.record(z.string(), z.string()),
      cwd: z.string(),
      user: z.string(),
    }),
    limits: z.record(z.string(), z.number()),
    pending: z.array(z.strictObject({ path: z.string(), mode: whole, size: whole, name: z.string().regex(/^\w+$/) })),
  });
});

/** Reads a definition as it lies on disk. Throws for anything else. */
export function parseDefinition(bytes: Buffer): Definition {
  return schema().parse(JSON.parse(bytes.toString('utf8')));
}

/** No path is longer in Linux (PATH_MAX), and no argument or variable (MAX_ARG_STRLEN). */
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
  throw new BabelhostError(
    'containerFailed',
    `${what} is an absolute path in the container, of ${longest.path} bytes at the most, not '${path.slice(0, 100)}'.`,
    { path: path.slice(0, 1000) },
  );
}

/** @throws BabelhostError `containerFailed` for what the kernel would not take (sethostname(2)) */
export function checkHostname(hostname: string): void {
  if (/^[A-Za-z0-9.-]+$/.test(hostname) && hostname.length <= longest.hostname) return;
  throw new BabelhostError('containerFailed', `'${hostname.slice(0, 100)}' is no host name.`, { hostname });
}
