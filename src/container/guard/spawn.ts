// Spawns the bootstrap, and reports what spawn reports only by an event.
import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { messageOf } from '../../base/errors.ts';
import { explainFailure } from '../diagnose/failures.ts';

/**
 * All that a runtime needs of the environment.
 * @param folder the host's folder, in memory for the guard: crun mounts itself read-only on a file that it makes there,
 * or else in /tmp, where the file would stay if crun is killed then
 */
export function runtimeEnvironment(folder: string): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', _LIBCONTAINER_STATEDIR: folder };
}

/**
 * Spawns a process. Without processes or descriptors to spare, Node reports the fault with an event and leaves the child's
 * streams undefined, whatever their types say.
 * @param step completes "Could not …"
 * @throws BabelhostError `containerFailed`
 */
export async function spawnProcess(
  step: string,
  program: string,
  args: readonly string[],
  options: SpawnOptions,
): Promise<ChildProcess> {
  // The program may be given as /proc/PID/fd/N, which is no name for a list of processes.
  const child = spawn(program, args, { argv0: 'bootstrap', ...options });
  if (child.pid !== undefined) return child;
  const [error] = (await once(child, 'error').catch((cause: unknown) => [cause])) as [unknown];
  throw explainFailure(step, messageOf(error));
}
