// The host name of containers, where it may be set. Each has a UTS namespace of its own, which begins with the name that
// is around it; a seccomp filter around babelhost may let namespaces be made and forbid sethostname(2), as podman's does.
import { isBabelhostError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';

/** The host name of a container that was given none. */
export const defaultHostName = 'babelhost';

/** A filter stays with its process for ever (seccomp(2)), so one refusal is the answer to every later attempt. */
let refused = false;

/** Whether a container that was given no host name has had to keep the one that is around babelhost. */
export function hostNameIsRefused(): boolean {
  return refused;
}

/**
 * Boots with a host name. Where none may be set, a container that was given none is booted without: the log says so once.
 * One that was given a name of its own fails with what `boot` throws.
 * @param boot boots with a host name; with undefined, without setting one
 */
export async function bootWithHostName<T>(
  wanted: string,
  logger: Logger,
  boot: (hostname: string | undefined) => Promise<T>,
): Promise<T> {
  if (wanted !== defaultHostName) return await boot(wanted);
  if (hostNameIsRefused()) return await boot(undefined);
  try {
    return await boot(wanted);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    if (!refused) {
      refused = true;
      logger.info('containers keep the host name that is around babelhost: a seccomp filter forbids to set another');
    }
    return await boot(undefined);
  }
}

/** As runc and crun tell it. */
function isRefusal(error: unknown): boolean {
  return isBabelhostError(error, 'containerFailed') && /sethostname: operation not permitted/i.test(error.message);
}
