// The OCI runtime: finding it, and the command lines that runc and crun both take.
import { constants, createReadStream } from 'node:fs';
import path from 'node:path';
import { BabelhostError } from '../../base/errors.ts';
import { mayUse } from '../sync-fs.ts';
import { readAtMost } from '../guard/bounded-output.ts';

export interface RuntimeProgram {
  /** 'runc', 'crun', or another program that takes runc's command line. */
  readonly name: string;
  readonly path: string;
  /** Whether it is to make the cgroups of containers; otherwise it finds itself in those that they are to have. */
  readonly makesCgroups?: boolean;
}

/** Where Debian and others put runtimes that an ordinary user's PATH may lack. */
const furtherFolders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/**
 * The path of a program in PATH or where runtimes are installed; undefined if it is nowhere. Looked for at once: PATH may
 * have a dozen folders, and as many turns of Node's threads, one after the other, are a millisecond of a first answer.
 */
export function findProgram(name: string): string | undefined {
  if (name.includes('/')) return mayUse(name, constants.X_OK) ? path.resolve(name) : undefined;
  const folders = [...(process.env['PATH'] ?? '').split(':').filter((folder) => folder !== ''), ...furtherFolders];
  for (const folder of folders) {
    const file = path.join(folder, name);
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

/** Options that come before the command, for a runtime that keeps its state in `state`. */
function globalArguments(runtime: RuntimeProgram, state: string, log: string): string[] {
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
  return [
    ...globalArguments(runtime, files.state, files.log),
    'run',
    '--detach',
    '--preserve-fds',
    '1',
    '--pid-file',
    files.pidFile,
    '--bundle',
    files.bundle,
    id,
  ];
}

/** `exec --detach`: as `run`, for a process in a container that runs. */
export function executeArguments(
  runtime: RuntimeProgram,
  files: { state: string; log: string; pidFile: string; specification: string },
  id: string,
): string[] {
  return [
    ...globalArguments(runtime, files.state, files.log),
    'exec',
    '--detach',
    '--preserve-fds',
    '1',
    '--pid-file',
    files.pidFile,
    '--process',
    files.specification,
    id,
  ];
}

/** `delete --force`: kills and forgets what an interrupted `run` has left. */
export function deleteArguments(runtime: RuntimeProgram, files: { state: string; log: string }, id: string): string[] {
  return [...globalArguments(runtime, files.state, files.log), 'delete', '--force', id];
}

/** The beginning of a runtime's log is enough to tell what it failed at, in bytes. */
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
