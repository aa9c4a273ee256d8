// Errors that name the setting to change. The bootstrap and the runtimes tell which step failed and with which errno; what
// that means on a machine is explained here.
import path from 'node:path';
import { BabelhostError, messageOf, systemErrorCode, type ErrorData } from '../../base/errors.ts';
import type { BootContext } from '../boot/boot-context.ts';
import type { LaunchFailure } from '../boot/launch.ts';
import { readRuntimeLog, readRuntimeVersion } from '../oci/runtime-program.ts';
import { explainNamespaceDenial, readNamespaceSettings } from './namespaces.ts';

/** Why something failed and what to do about it. */
export interface Remedy {
  readonly advice: string;
  /** A shell command that mends it, where one does. */
  readonly mend?: string;
}

interface Explanation extends Remedy {
  readonly pattern: RegExp;
}

/** Which setting denies namespaces is found out on the machine. */
const namespaceDenial = /cannot (make .*namespace|detach the mount namespace|mount a tmpfs).*\((EPERM|EACCES)\)/;

/** The first match is used: from the particular to the general. */
const explanations: readonly Explanation[] = [
  {
    // The kernel's answer to unshare and clone when a namespace limit is reached; it reads like a full disk.
    pattern: /cannot make .*namespace.*\(ENOSPC\)/,
    advice:
      'The limit on namespaces is reached or is 0 (ENOSPC here does not mean that a disk is full): ' +
      'raise user.max_user_namespaces, user.max_mnt_namespaces and user.max_pid_namespaces',
    mend: 'sudo sysctl -w user.max_user_namespaces=15000',
  },
  {
    pattern: /cannot make a user namespace \((EINVAL|ENOSYS)\)/,
    advice: 'This kernel is built without user namespaces (CONFIG_USER_NS)',
  },
  {
    // mount_too_revealing() in the kernel: /proc here has parts masked by mounts, as in Docker's containers.
    pattern: /cannot mount a fresh \/proc \(EPERM\)/,
    advice:
      'Parts of /proc are masked, as they are in a container of Docker or podman; start that with ' +
      '--security-opt systempaths=unconfined (Docker) or unmask=ALL (podman)',
  },
  {
    pattern: /cannot write \/proc\/\d+\/[ug]id_map \(EPERM\)/,
    advice:
      'babelhost runs as a root without the capabilities to map ids, CAP_SETUID, CAP_SETGID and CAP_SETFCAP: give it ' +
      'these (--cap-add SETUID,SETGID,SETFCAP with podman), or run it as an ordinary user',
  },
  {
    // runc opens the namespaces of a child of its own that is not dumpable, for which owning them is not enough.
    pattern: /failed to get container mount namespace: Permission denied/,
    advice:
      'runc needs CAP_SYS_PTRACE where babelhost has CAP_SYS_ADMIN: give it both (--cap-add SYS_ADMIN,SYS_PTRACE with ' +
      'podman), or neither, or take crun (--runtime crun)',
  },
  {
    // Only for a host name that was asked for: see host-name.ts.
    pattern: /sethostname: operation not permitted/i,
    advice:
      'A seccomp filter around babelhost forbids to set a host name: leave it out, or start the container that ' +
      'babelhost runs in with --security-opt seccomp=unconfined',
  },
  {
    pattern: /cannot execute new[ug]idmap \(ENOENT\)/,
    advice: 'newuidmap and newgidmap are missing',
    mend: 'sudo apt-get install uidmap',
  },
  {
    pattern: /new[ug]idmap refused|new[ug]idmap: /,
    advice:
      'newuidmap and newgidmap, which map the ids that /etc/subuid and /etc/subgid grant, refused: ' +
      'both files must grant this user the range, and both programs must be setuid root',
    mend: 'sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "$USER"',
  },
  {
    pattern: /(cannot fork|spawn|fork\/exec|clone|pthread_create).*(EAGAIN|resource temporarily unavailable)/i,
    advice: 'There are no process ids left: end some processes, or raise kernel.pid_max, ulimit -u or pids.max',
  },
  {
    pattern: /\b(EMFILE|ENFILE)\b|too many open files/i,
    advice: 'There are no file descriptors left: raise ulimit -n or fs.file-max',
  },
  {
    pattern: /\bENOSPC\b|no space left on device/i,
    advice: 'A file system is full, or a limit on namespaces or cgroups (cgroup.max.descendants) is reached',
  },
  {
    pattern: /cgroups in hybrid mode not supported/,
    advice: 'crun refuses a machine that has cgroup v1 beside v2; babelhost should have shown it v2 alone',
  },
];

function findRemedy(text: string): Remedy | undefined {
  if (namespaceDenial.test(text)) return explainNamespaceDenial(readNamespaceSettings());
  return explanations.find(({ pattern }) => pattern.test(text));
}

/**
 * A `containerFailed` error for a step that failed with `text` on stderr or in a log.
 * @param remedy if it is known already; else it is found by the text
 */
export function explainFailure(
  step: string,
  text: string,
  data: ErrorData = {},
  remedy: Remedy | undefined = findRemedy(text),
): BabelhostError {
  const reason = text.trim().slice(-2000);
  const mend = remedy?.mend;
  const advice = remedy === undefined ? '' : ` ${remedy.advice}${mend === undefined ? '' : ` (${mend})`}.`;
  return new BabelhostError('containerFailed', `Could not ${step}: ${reason || 'no reason was given'}.${advice}`, {
    ...data,
    reason,
    ...(mend !== undefined && { mend }),
  });
}

/** The same for a fault of the system (a full disk, no descriptors left); anything else is returned as it is. */
export function explainSystemError(step: string, error: unknown): unknown {
  if (error instanceof BabelhostError || systemErrorCode(error) === undefined) return error;
  return explainFailure(step, messageOf(error), { code: systemErrorCode(error) });
}

/** The same for what the bootstrap wrote to its stderr. */
export function explainBootstrapFailure(step: string, complaints: string, status: number | null): BabelhostError {
  const reason = complaints.replaceAll(/^bootstrap: /gm, '').trim();
  return explainFailure(step, reason || `the bootstrap ended with status ${status ?? 'unknown'}`, { status });
}

/**
 * Why a container, or a process in one, could not be started: from what process 1, the runtime and the bootstrap reported.
 * @param command what was to be executed in it
 * @param log the runtime's, by its path in the guard's namespace
 */
export async function explainLaunch(
  { report, status, complaints }: LaunchFailure,
  { guard, runtime }: BootContext,
  command: string,
  log: string,
): Promise<BabelhostError> {
  if (report?.kind === 'failed') {
    return new BabelhostError(
      'containerFailed',
      `The image's command ${command} could not be executed: ${report.error}. ${executionAdvice(report.error)}`,
      { reason: report.error, command },
    );
  }
  if (report?.kind === 'fault') {
    return new BabelhostError(
      'containerFailed',
      `A process of the container wrote '${report.line}' in the place of babelhost's own, and the container was ended: do not run that image.`,
      { reason: 'protocolFault', line: report.line },
    );
  }
  const messages = [...(await readRuntimeLog(guard.seen(log))), complaints].filter(Boolean).join('; ');
  return explainFailure(
    `start a container with ${runtime.name}`,
    messages || `the runtime ended with status ${status ?? '?'}`,
    { status, runtime: runtime.path },
    await explainVersion(runtime.path),
  );
}

function executionAdvice(error: string): string {
  switch (error) {
    case 'ENOENT':
      return 'The image lacks it, or the interpreter that its first line names, or the dynamic loader that it is linked with.';
    case 'EACCES':
      return 'It is no executable file for the user that the image runs as.';
    case 'ENOEXEC':
      return 'It is not a program of this machine: see that the image is for its architecture.';
    default:
      return 'See that the image is for this machine.';
  }
}

/** What to do where the runtime is too old; undefined where it is not, or cannot tell its version. */
async function explainVersion(program: string): Promise<Remedy | undefined> {
  const { version, needed } = await readRuntimeVersion(program).catch(() => ({ version: '', needed: undefined }));
  if (needed === undefined) return undefined;
  const name = path.basename(program);
  return {
    advice: `${name} is too old: it is ${version}, and babelhost needs ${needed} or newer`,
    mend: `sudo apt-get install ${name}`,
  };
}
