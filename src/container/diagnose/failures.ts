// What went wrong, in words that name the setting to change. The bootstrap and the runtimes say which step failed and
// with which errno; what that means on a given machine is told here, in one place.
import { BabelhostError, messageOf, systemErrorCode, type ErrorData } from '../../base/errors.ts';
import { explainNamespaceDenial, readNamespaceSettings, type NamespaceDenial } from './namespaces.ts';

interface Explanation {
  readonly pattern: RegExp;
  /** Why, what to do, and a command that does it; asked for where it depends on the machine's settings. */
  readonly refusal: NamespaceDenial | (() => NamespaceDenial);
}

/** The first that fits is used; from the particular to the general. */
const explanations: readonly Explanation[] = [
  {
    // The kernel's answer to unshare and clone when a namespace limit is reached; it reads like a full disk.
    pattern: /cannot make .*namespace.*\(ENOSPC\)/,
    refusal: {
      advice:
        'The limit on namespaces is reached or is 0 (ENOSPC here does not mean that a disk is full): ' +
        'raise user.max_user_namespaces, user.max_mnt_namespaces and user.max_pid_namespaces',
      mend: 'sudo sysctl -w user.max_user_namespaces=15000',
    },
  },
  {
    pattern: /cannot (make .*namespace|detach the mount namespace|mount a tmpfs).*\((EPERM|EACCES)\)/,
    refusal: () => explainNamespaceDenial(readNamespaceSettings()),
  },
  {
    pattern: /cannot make a user namespace \((EINVAL|ENOSYS)\)/,
    refusal: {
      advice: 'This kernel is built without user namespaces (CONFIG_USER_NS)',
    },
  },
  {
    // mount_too_revealing() in the kernel: /proc here has parts masked by mounts, as in Docker's containers.
    pattern: /cannot mount a fresh \/proc \(EPERM\)/,
    refusal: {
      advice:
        'Parts of /proc are masked, as they are in a container of Docker or podman; start that with ' +
        '--security-opt systempaths=unconfined (Docker) or unmask=ALL (podman)',
    },
  },
  {
    pattern: /cannot write \/proc\/\d+\/[ug]id_map \(EPERM\)/,
    refusal: {
      advice:
        'babelhost runs as a root without the capabilities to map ids, CAP_SETUID, CAP_SETGID and CAP_SETFCAP: give it ' +
        'these (--cap-add SETUID,SETGID,SETFCAP with podman), or run it as an ordinary user',
    },
  },
  {
    // runc opens the namespaces of a child of its own that is not dumpable, for which owning them is not enough.
    pattern: /failed to get container mount namespace: Permission denied/,
    refusal: {
      advice:
        'runc needs CAP_SYS_PTRACE where babelhost has CAP_SYS_ADMIN: give it both (--cap-add SYS_ADMIN,SYS_PTRACE with ' +
        'podman), or neither, or take crun (--runtime crun)',
    },
  },
  {
    // Only for a host name that was asked for: see host-name.ts.
    pattern: /sethostname: operation not permitted/i,
    refusal: {
      advice:
        'A seccomp filter around babelhost forbids to set a host name: leave it out, or start the container that ' +
        'babelhost runs in with --security-opt seccomp=unconfined',
    },
  },
  {
    pattern: /cannot execute new[ug]idmap \(ENOENT\)/,
    refusal: {
      advice: 'newuidmap and newgidmap are missing',
      mend: 'sudo apt-get install uidmap',
    },
  },
  {
    pattern: /new[ug]idmap refused|new[ug]idmap: /,
    refusal: {
      advice:
        'newuidmap and newgidmap, which map the ids that /etc/subuid and /etc/subgid grant, refused: ' +
        'both files must grant this user the range, and both programs must be setuid root',
      mend: 'sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "$USER"',
    },
  },
  {
    pattern: /(cannot fork|spawn|fork\/exec|clone|pthread_create).*(EAGAIN|resource temporarily unavailable)/i,
    refusal: {
      advice: 'There are no process ids left: end some processes, or raise kernel.pid_max, ulimit -u or pids.max',
    },
  },
  {
    pattern: /\b(EMFILE|ENFILE)\b|too many open files/i,
    refusal: {
      advice: 'There are no file descriptors left: raise ulimit -n or fs.file-max',
    },
  },
  {
    pattern: /\bENOSPC\b|no space left on device/i,
    refusal: {
      advice: 'A file system is full, or a limit on namespaces or cgroups (cgroup.max.descendants) is reached',
    },
  },
  {
    pattern: /cgroups in hybrid mode not supported/,
    refusal: {
      advice: 'crun refuses a machine that has cgroup v1 beside v2; babelhost should have shown it v2 alone',
    },
  },
];

/**
 * A `containerFailed` error for a step that failed with `text` on stderr or in a log.
 * @param known why, where that is known from elsewhere: the text is not searched then
 */
export function explainFailure(
  step: string,
  text: string,
  data: ErrorData = {},
  known?: NamespaceDenial,
): BabelhostError {
  const found = known === undefined ? explanations.find(({ pattern }) => pattern.test(text)) : { refusal: known };
  const reason = text.trim().slice(-2000);
  const refusal = typeof found?.refusal === 'function' ? found.refusal() : found?.refusal;
  const mend = refusal?.mend;
  const advice = refusal === undefined ? '' : ` ${refusal.advice}${mend === undefined ? '' : ` (${mend})`}.`;
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
