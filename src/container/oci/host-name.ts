// The host name of containers. Each has a UTS namespace of its own, which begins with the name around it. A seccomp filter
// around babelhost may let namespaces be made and forbid sethostname(2), as podman's does.
import { isBabelhostError } from '../../base/errors.ts';

/** The host name of a container that was given none. */
export const defaultHostName = 'babelhost';

/** Whether a boot failed because a seccomp filter forbids setting a host name: what runc and crun say then. */
export function isHostNameRefusal(error: unknown): boolean {
  return isBabelhostError(error, 'containerFailed') && /sethostname: operation not permitted/i.test(error.message);
}
