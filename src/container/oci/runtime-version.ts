// Which versions of the OCI runtimes are new enough. Asked by `doctor`, and when a container could not be started: to ask
// before each start would cost the start of another program.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import type { NamespaceDenial } from '../diagnose/namespaces.ts';

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

/** Why a runtime may have failed, where it is too old; undefined where it is not, or does not say. */
export async function explainVersion(program: string): Promise<NamespaceDenial | undefined> {
  // One that cannot tell its version has failed for another reason, which has been told.
  const { version, needed } = await readRuntimeVersion(program).catch(() => ({
    version: undefined,
    needed: undefined,
  }));
  if (needed === undefined) return undefined;
  const name = path.basename(program);
  return {
    advice: `${name} is too old: it is ${version}, and babelhost needs ${needed} or newer`,
    mend: `sudo apt-get install ${name}`,
  };
}
