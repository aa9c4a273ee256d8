// Why a machine denies namespaces with EPERM or EACCES: the kernel has one answer for many settings, and the error is to
// name the one to change. Reads files that everybody may read; changes nothing.
import { readFileSync } from 'node:fs';
import type { Remedy } from './failures.ts';

/** Each setting as text; undefined where the machine does not have it. */
export interface NamespaceSettings {
  /** /proc/self/status (proc_pid_status(5)): Seccomp is 2 under a filter. */
  readonly status: string | undefined;
  /** /proc/sys/kernel/unprivileged_userns_clone: Debian's. */
  readonly usernsClone: string | undefined;
  /** /proc/sys/kernel/apparmor_restrict_unprivileged_userns: Ubuntu's. */
  readonly apparmorRestricts: string | undefined;
  /** /proc/self/attr/apparmor/current: the profile that confines this process. */
  readonly apparmorProfile: string | undefined;
}

export function readNamespaceSettings(): NamespaceSettings {
  const read = (file: string): string | undefined => {
    try {
      return readFileSync(file, 'utf8').replaceAll('\0', '').trim();
    } catch {
      return undefined;
    }
  };
  return {
    status: read('/proc/self/status'),
    usernsClone: read('/proc/sys/kernel/unprivileged_userns_clone'),
    apparmorRestricts: read('/proc/sys/kernel/apparmor_restrict_unprivileged_userns'),
    apparmorProfile: read('/proc/self/attr/apparmor/current'),
  };
}

/** Names each setting that denies namespaces; where none is known, where else to look. */
export function explainNamespaceDenial(settings: NamespaceSettings): Remedy {
  const causes: string[] = [];
  const assignments: string[] = [];
  if (settings.usernsClone === '0') {
    causes.push('kernel.unprivileged_userns_clone is 0: ordinary users make no user namespaces');
    assignments.push('kernel.unprivileged_userns_clone=1');
  }
  if (settings.apparmorRestricts === '1') {
    causes.push('kernel.apparmor_restrict_unprivileged_userns is 1: AppArmor restricts user namespaces');
    assignments.push('kernel.apparmor_restrict_unprivileged_userns=0');
  }
  if (/^Seccomp:\s*2$/m.test(settings.status ?? '')) {
    causes.push(
      'babelhost runs under a seccomp filter, as in a container or a service: it must let unshare, clone, setns and ' +
        'mount pass (--security-opt seccomp=unconfined with Docker and podman; RestrictNamespaces= and ' +
        'SystemCallFilter= with systemd)',
    );
  }
  const profile = settings.apparmorProfile ?? '';
  if (profile !== '' && !profile.startsWith('unconfined')) {
    causes.push(
      `babelhost is confined by the AppArmor profile ${profile.slice(0, 100)}: it must let namespaces be made and file ` +
        'systems be mounted (--security-opt apparmor=unconfined with Docker and podman)',
    );
  }
  const mend = assignments.length === 0 ? {} : { mend: `sudo sysctl -w ${assignments.join(' ')}` };
  if (causes.length > 0) return { advice: causes.join('; '), ...mend };
  return {
    advice:
      'This machine does not let this user make namespaces, and none of the settings that are known to forbid it is set: ' +
      'see its security modules (SELinux, Landlock, a container around babelhost without CAP_SYS_ADMIN)',
  };
}
