// Why a container, or a process in one, could not be started: from what the bootstrap, the runtime and process 1 said.
import { BabelhostError } from '../../base/errors.ts';
import type { BootContext } from '../boot/boot-context.ts';
import { explainFailure } from './failures.ts';
import type { LaunchFailure } from '../guard/launch.ts';
import { readRuntimeLog } from '../oci/runtime-program.ts';
import { explainVersion } from '../oci/runtime-version.ts';

/**
 * Says why a container, or a process in one, could not be started.
 * @param command what was to be executed in it
 * @param log the runtime's, as it has the path
 */
export async function explainLaunch(
  failure: LaunchFailure,
  context: BootContext,
  command: string,
  log: string,
): Promise<BabelhostError> {
  const { report, status } = failure;
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
  const messages = await readRuntimeLog(context.guard.seen(log));
  const text =
    [...messages, failure.complaints].filter(Boolean).join('; ') || `the runtime ended with status ${status ?? '?'}`;
  const { name, path: runtime } = context.runtime;
  const tooOld = await explainVersion(runtime);
  return explainFailure(`start a container with ${name}`, text, { status, runtime }, tooOld);
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
