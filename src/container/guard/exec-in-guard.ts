// Programs that are run in the guard's namespaces, beside its containers (native/run.c).
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { messageOf } from '../../base/errors.ts';
import type { BootContext } from '../boot/boot-context.ts';
import type { ContainerFiles } from '../boot/container-files.ts';
import type { ContainerId } from '../id.ts';
import { deleteArguments, stateArguments } from '../oci/runtime-program.ts';
import { runtimeEnvironment, spawnProcess } from './spawn.ts';

/** How long the runtime may take to remove a half-made container: one that hung when it was to start may hang again. */
const deleteTimeoutMs = 5000;

/** How long a command of the bootstrap may take: a slow disk takes its time to count or remove the files of a layer. */
const commandTimeoutMs = 10 * 60_000;

/** How long the runtime may take to tell a container's state. */
const stateTimeoutMs = 60_000;

/** What is kept of a program's output, in characters. */
const outputLength = 8192;

/** The same of a state, which has annotations: crun's filter among them, of at most 44 kB. */
const stateLength = 256 * 1024;

/** How a program ended. */
export interface ExecResult {
  /** Null if it was killed. */
  readonly status: number | null;
  /** What it wrote to stdout and to stderr, up to a bound. */
  readonly output: string;
  readonly complaint: string;
}

/**
 * Runs a program in the guard's namespaces, with nothing on stdin. The bootstrap kills it when its lifeline ends.
 * @param step what an error says that could not be done
 * @throws BabelhostError `containerFailed` if it cannot be started
 */
async function runInGuard(
  step: string,
  { guard, idMapping }: BootContext,
  command: readonly string[],
  timeoutMs: number,
  output: 'ignore' | 'pipe',
  mostOutput = outputLength,
): Promise<ExecResult> {
  const entering = idMapping.kind === 'privileged' ? [] : ['--user-namespace'];
  if (idMapping.kind === 'granted') entering.push('--set-groups');
  const child = await spawnProcess(step, guard.bootstrap, ['run', ...entering, '--', ...command], {
    stdio: ['ignore', output, output, guard.processFolder.fd, 'pipe'],
    env: runtimeEnvironment(guard.folder),
  });
  const lifeline = child.stdio[4] as Duplex;
  lifeline.on('error', () => undefined);
  const result = { output: '', complaint: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    result.output = (result.output + text).slice(0, mostOutput);
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    result.complaint = (result.complaint + text).slice(0, outputLength);
  });
  const timer = setTimeout(() => lifeline.end(), timeoutMs);
  const [status] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  lifeline.destroy();
  return { status, ...result };
}

/** Has the runtime kill and forget a container that it may have made half. */
export async function deleteContainer(context: BootContext, files: ContainerFiles, id: ContainerId): Promise<void> {
  try {
    const command = deleteArguments(context.runtime, files, id);
    await runInGuard('remove a container', context, command, deleteTimeoutMs, 'ignore');
  } catch (error) {
    const reason = messageOf(error);
    context.logger.warn({ container: id, reason }, 'could not remove what a failed boot may have left');
  }
}

/** Has the runtime tell a container's state. */
export function askForState(context: BootContext, files: ContainerFiles, id: ContainerId): Promise<ExecResult> {
  const command = stateArguments(context.runtime, files, id);
  return runInGuard('ask for the state of a container', context, command, stateTimeoutMs, 'pipe', stateLength);
}

/** Executes a command of the bootstrap in the guard's namespaces; see ContainerRuntime.execInGuard. */
export function execInGuard(context: BootContext, command: readonly string[]): Promise<ExecResult> {
  // The bootstrap has no path in there.
  const whole = ['/proc/self/exe', ...command];
  return runInGuard('do something beside containers', context, whole, commandTimeoutMs, 'pipe');
}
