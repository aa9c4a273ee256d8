// What went wrong, in words that name the setting to change. The bootstrap and the runtimes say which step failed and
// with which errno; what that means on a given machine is told here, in one place.
import { BabelhostError, messageOf, systemErrorCode, type ErrorData } from '../errors.ts';

interface Explanation {
  readonly pattern: RegExp;
  /** Why, and what to do. */
  readonly advice: string;
  readonly mend?: string;
}

/** The first that fits is used; from the particular to the general. */
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
    pattern: /cannot make a user namespace \((EPERM|EACCES)\)/,
    advice:
      'This machine does not let ordinary users make user namespaces. See which of these is set: ' +
      'kernel.unprivileged_userns_clone=0 (Debian), kernel.apparmor_restrict_unprivileged_userns=1 (Ubuntu), ' +
      'or the seccomp profile of a container around babelhost (docker run --security-opt seccomp=unconfined)',
    mend: 'sudo sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0',
  },
  {
    pattern: /cannot make a user namespace \((EINVAL|ENOSYS)\)/,
    advice: 'This kernel is built without user namespaces (CONFIG_USER_NS)',
  },
  {
    pattern: /cannot (detach the mount namespace|mount a tmpfs|make .*namespace).*\((EPERM|EACCES)\)/,
    advice:
      'The kernel forbids it, as it does where AppArmor restricts user namespaces or a container around babelhost ' +
      'withholds CAP_SYS_ADMIN',
    mend: 'sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
  },
  {
    // mount_too_revealing() in the kernel: /proc here has parts masked by mounts, as in Docker's containers.
    pattern: /cannot mount a fresh \/proc \(EPERM\)/,
    advice:
      'Parts of /proc are masked, as they are in a container of Docker or podman; start that with ' +
      '--security-opt systempaths=unconfined (Docker) or unmask=ALL (podman)',
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
  {
    pattern: /unknown flag|flag provided but not defined|unknown version specified|unsupported spec version/i,
    advice: 'The runtime is too old; babelhost needs runc 1.1 or crun 1.8, or newer',
    mend: 'sudo apt-get install runc',
  },
];

/** A `containerFailed` error for a step that failed with `text` on stderr or in a log. */
export function explainFailure(step: string, text: string, data: ErrorData = {}): BabelhostError {
  const found = explanations.find(({ pattern }) => pattern.test(text));
  const reason = text.trim().slice(-2000);
  const advice = found === undefined ? '' : ` ${found.advice}${found.mend === undefined ? '' : ` (${found.mend})`}.`;
  return new BabelhostError('containerFailed', `Could not ${step}: ${reason || 'no reason was given'}.${advice}`, {
    ...data,
    reason,
    ...(found?.mend !== undefined && { mend: found.mend }),
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
