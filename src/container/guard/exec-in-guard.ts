// Programs that are run in the guard's namespaces, beside its containers (native/run.c).
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { messageOf } from '../../base/errors.ts';
import type { BootContext } from '../boot/boot-context.ts';
import type { ContainerFiles } from '../boot/container-files.ts';
import type { ContainerId } from '../id.ts';
import type { IdMapping } from '../oci/id-mapping.ts';
import { deleteArguments } from '../oci/runtime-program.ts';
import { runtimeEnvironment, spawnProcess } from './spawn.ts';

/** How long the runtime may take to remove a half-made container. */
const deletePatienceMs = 5000;

/** How long another program may take: to count or remove the files of a layer takes a slow disk its time. */
const facePatienceMs = 10 * 60_000;

/** The options of `bootstrap run` that make it enter what the guard has made. */
function identityArguments(idMapping: IdMapping): string[] {
  if (idMapping.kind === 'privileged') return [];
  return idMapping.kind === 'granted' ? ['--user-namespace', '--set-groups'] : ['--user-namespace'];
}

/**
 * Starts a program in the guard's namespaces. The bootstrap watches its lifeline: at its end it kills the program.
 * @param action what an error says that could not be done
 * @throws BabelhostError where it cannot be started
 */
async function spawnInGuard(
  action: string,
  context: BootContext,
  command: readonly string[],
  output: 'ignore' | 'pipe',
): Promise<{ readonly child: ChildProcess; readonly lifeline: Duplex }> {
  const args = ['run', ...identityArguments(context.idMapping), '--', ...command];
  const child = await spawnProcess(action, context.bootstrap, args, {
    stdio: ['ignore', output, output, context.guard.processFolder.fd, 'pipe'],
    env: runtimeEnvironment(context.folder),
  });
  const lifeline = child.stdio[4] as Duplex;
  lifeline.on('error', () => undefined);
  return { child, lifeline };
}

/** Has the runtime kill and forget a container that it may have made half. */
export async function deleteContainer(context: BootContext, files: ContainerFiles, id: ContainerId): Promise<void> {
  let spawned;
  try {
    const command = deleteArguments(context.runtime, files, id);
    spawned = await spawnInGuard('remove a container', context, command, 'ignore');
  } catch (error) {
    context.logger.warn(
      { container: id, reason: messageOf(error) },
      'could not remove what a failed boot may have left',
    );
    return;
  }
  // A runtime that hung when it was to start may hang again.
  await endOf(spawned, deletePatienceMs);
}

/** Waits for a program's end; after `patienceMs` it is killed. */
async function endOf({ child, lifeline }: Awaited<ReturnType<typeof spawnInGuard>>, patienceMs: number) {
  const timer = setTimeout(() => lifeline.end(), patienceMs);
  const [status] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  lifeline.destroy();
  return status;
}

/** How a face of the bootstrap ended. */
export interface ExecResult {
  /** Null if it was killed. */
  readonly status: number | null;
  /** What it wrote to stdout and to stderr, up to `outputLength` characters of each. */
  readonly output: string;
  readonly complaint: string;
}

const outputLength = 8192;

/** Executes a face of the bootstrap in the guard's namespaces, with nothing on stdin; see ContainerRuntime.runBeside. */
export async function execInGuard(context: BootContext, face: readonly string[]): Promise<ExecResult> {
  // The bootstrap itself, which has no other path in there.
  const command = ['/proc/self/exe', ...face];
  const spawned = await spawnInGuard('do something beside containers', context, command, 'pipe');
  let output = '';
  let complaint = '';
  spawned.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(0, outputLength);
  });
  spawned.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, outputLength);
  });
  return { status: await endOf(spawned, facePatienceMs), output, complaint };
}
