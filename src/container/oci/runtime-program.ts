// The OCI runtime: finding it, its version, its log, and the command lines that runc and crun both take.
import { execFile } from 'node:child_process';
import { constants, createReadStream } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { BabelhostError } from '../../base/errors.ts';
import { mayUse } from '../sync-fs.ts';
import { readAtMost } from '../guard/bounded-output.ts';

export interface RuntimeProgram {
  /** 'runc', 'crun', or another program that takes runc's command line. */
  readonly name: string;
  readonly path: string;
  /** Whether it makes the cgroups of containers; otherwise it is executed in them. */
  readonly makesCgroups?: boolean;
}

/** Where Debian and others put runtimes that an ordinary user's PATH may lack. */
const furtherFolders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** The path of a program in PATH or where runtimes are installed; undefined if it is nowhere. */
export function findProgram(name: string): string | undefined {
  if (name.includes('/')) return mayUse(name, constants.X_OK) ? path.resolve(name) : undefined;
  const folders = [...(process.env['PATH'] ?? '').split(':').filter((folder) => folder !== ''), ...furtherFolders];
  for (const folder of folders) {
    const file = path.resolve(folder, name);
    if (mayUse(file, constants.X_OK)) return file;
  }
  return undefined;
}

/**
 * Finds the runtime.
 * @param wanted 'runc', 'crun', or the path of one
 * @throws BabelhostError `runtimeMissing`, with the command that installs it
 */
export function findRuntime(wanted: string): RuntimeProgram {
  const found = findProgram(wanted);
  const name = path.basename(wanted);
  if (found !== undefined) return { name, path: found };
  const known = name === 'runc' || name === 'crun';
  const mend = known && !wanted.includes('/') ? `sudo apt-get install ${name}` : undefined;
  throw new BabelhostError(
    'runtimeMissing',
    mend === undefined
      ? `There is no OCI runtime at ${wanted}: give the path of runc or crun.`
      : `The OCI runtime ${name} is not on this machine: ${mend}.`,
    { program: wanted, ...(mend !== undefined && { mend }) },
  );
}

/** The oldest that have what we use: `defaultErrnoRet` of seccomp, and bind mounts from folders the root may not search. */
const oldestVersions: Readonly<Record<string, readonly [number, number]>> = { runc: [1, 1], crun: [1, 5] };

export interface RuntimeVersion {
  /** As it says itself; undefined where it does not. */
  readonly version: string | undefined;
  /** The oldest that will do, where this one is older. */
  readonly needed?: string;
}

/**
 * Asks a runtime for its version.
 * @param program its path; runc and crun are known by their file's name
 * @throws what Node throws where it cannot be executed, fails, or says nothing within ten seconds
 */
export async function readRuntimeVersion(program: string): Promise<RuntimeVersion> {
  const { stdout } = await promisify(execFile)(program, ['--version'], { timeout: 10_000 });
  const [version, ...numbers] = /(\d+)\.(\d+)[.\w+~-]*/.exec(stdout) ?? [];
  const [major = 0, minor = 0] = numbers.map(Number);
  const [neededMajor, neededMinor] = oldestVersions[path.basename(program)] ?? [0, 0];
  const old = major < neededMajor || (major === neededMajor && minor < neededMinor);
  return { version, ...(version !== undefined && old && { needed: `${neededMajor}.${neededMinor}` }) };
}

/** Options that come before the command. */
function globalArguments(runtime: RuntimeProgram, { state, log }: { state: string; log: string }): string[] {
  const args = [runtime.path, '--root', state, '--log', log, '--log-format', 'json'];
  // crun is built to ask systemd for cgroups; those that it should have are made before it is executed.
  if (runtime.name === 'crun') args.push('--cgroup-manager', 'disabled');
  // runc makes some even where none are asked for, and with this goes on where it may not: in another's container they
  // are read-only.
  else if (runtime.makesCgroups === false) args.push('--rootless', 'true');
  return args;
}

/** `run --detach`: the container's process 1 is the only one left when the runtime returns. */
export function runArguments(
  runtime: RuntimeProgram,
  files: { state: string; log: string; bundle: string; pidFile: string },
  id: string,
): string[] {
  const options = ['--detach', '--preserve-fds', '1', '--pid-file', files.pidFile, '--bundle', files.bundle];
  return [...globalArguments(runtime, files), 'run', ...options, id];
}

/** `exec --detach`: as `run`, for a process in a container that runs. */
export function executeArguments(
  runtime: RuntimeProgram,
  files: { state: string; log: string; pidFile: string; specification: string },
  id: string,
): string[] {
  const options = ['--detach', '--preserve-fds', '1', '--pid-file', files.pidFile, '--process', files.specification];
  return [...globalArguments(runtime, files), 'exec', ...options, id];
}

/** `delete --force`: kills and forgets what an interrupted `run` has left. */
export function deleteArguments(runtime: RuntimeProgram, files: { state: string; log: string }, id: string): string[] {
  return [...globalArguments(runtime, files), 'delete', '--force', id];
}

/** `state`: what the runtime knows of a container, as JSON. */
export function stateArguments(runtime: RuntimeProgram, files: { state: string; log: string }, id: string): string[] {
  return [...globalArguments(runtime, files), 'state', id];
}

/** How much of a runtime's log is read, in bytes: its beginning tells what failed. */
const mostLog = 64 * 1024;

/** The messages of a runtime's log (--log-format json), errors only, oldest first. */
export async function readRuntimeLog(file: string): Promise<string[]> {
  const { bytes } = await readAtMost(createReadStream(file), mostLog);
  const text = bytes.toString('utf8');
  return text.split('\n').flatMap((line) => {
    try {
      const entry = JSON.parse(line) as { level?: unknown; msg?: unknown };
      return entry.level !== 'warning' && typeof entry.msg === 'string' ? [entry.msg] : [];
    } catch {
      return line.trim() === '' ? [] : [line.trim()];
    }
  });
}
