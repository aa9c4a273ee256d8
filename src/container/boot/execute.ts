// A further process in a container that runs: joins its namespaces, limits and seccomp filter through the runtime's
// `exec`; a command under a process of ours (native/init) that reports how it ended. It ends at the latest with its
// container, whose other processes may do to it what they like: stop it, kill it, but not see or change its memory.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { BootContext, BootOptions } from './boot-context.ts';
import { joiningArguments } from '../cgroup/placement.ts';
import { confirmedEnd, endOf, exitOf, type ContainerExit } from './exit.ts';
import { explainSystemError } from '../diagnose/failures.ts';
import type { StartedProcess } from '../guard/reports.ts';
import { newContainerId } from '../id.ts';
import { resourceLimits, substituteLimits } from '../diagnose/isolation.ts';
import { keepKilling } from './kill.ts';
import { launch, LaunchFailure, type Launched } from '../guard/launch.ts';
import { explainLaunch } from '../diagnose/launch-failure.ts';
import { executeArguments } from '../oci/runtime-program.ts';
import { processSpec, type ContainerProcess } from '../oci/spec.ts';
import { processUser } from '../oci/user.ts';

/** What is executed: a command, under a process of ours, or native/init itself as one. */
export type ExecutionKind = 'command' | 'init';

/** A process that was started in a running container. */
export interface ExecutedProcess {
  /** The host's id of the process of ours that it runs under, or that it is. */
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** How it ended. Never rejects. */
  readonly exited: Promise<ContainerExit>;
  /** Sends a signal to the process and its group. */
  signal(signal: number): void;
  /**
   * Ends it with SIGKILL, whatever the container's processes do to it; children of its own that have left its group stay
   * until the container ends. Resolves when it is gone.
   */
  kill(): Promise<ContainerExit>;
}

/** A container as its boot left it. */
export interface ExecutionPlace {
  readonly context: BootContext;
  readonly options: BootOptions;
  /** Where the runtime keeps its state. */
  readonly state: string;
  readonly bundle: string;
  /** Ends the container, one of whose processes has written a line in the place of ours. */
  readonly endForFault: (line: string) => void;
}

/**
 * Starts a process in a container; resolves when its command has been executed.
 * @throws BabelhostError `containerFailed`, `timeout`; the signal's reason if it is aborted
 */
export async function executeInContainer(
  place: ExecutionPlace,
  process: ContainerProcess & { readonly user: string },
  kind: ExecutionKind,
  signal: AbortSignal | undefined,
): Promise<ExecutedProcess> {
  const { context, options, state } = place;
  signal?.throwIfAborted();
  const id = newContainerId();
  const folder = path.join(place.bundle, 'processes', id);
  const log = path.join(folder, 'log.json');
  const pidFile = path.join(folder, 'pid');
  const specification = path.join(folder, 'process.json');
  const endBoot = context.exitWaiters.beginBoot();
  let guest: StartedProcess | undefined;
  try {
    const spec = processSpec({
      process,
      user: await processUser(context.idMapping, options.rootfs, process.user),
      rlimits: resourceLimits(options.limits, context.highestLimits),
      initArguments: kind === 'command' ? substituteLimits(context.placement, options.limits) : undefined,
      oomScoreAdj: context.oomScoreAdj,
    });
    const launched = await launch({
      guard: context.guard,
      id,
      arguments: [
        ...[pidFile, '--config', specification, ...joiningArguments(context.placement, options.id)],
        ...['--', ...executeArguments(context.runtime, { state, log, pidFile, specification }, options.id)],
      ],
      content: JSON.stringify(spec),
      silent: kind === 'init',
      timeoutMs: context.bootTimeoutMs,
      signal,
      onProcess: (started) => {
        guest = started;
      },
    });
    return follow(place, folder, launched, kind);
  } catch (error) {
    if (guest !== undefined) endLeft(context, guest);
    if (error instanceof LaunchFailure && error.report?.kind === 'fault') place.endForFault(error.report.line);
    const command = process.args[0] ?? '';
    const explained = error instanceof LaunchFailure ? await explainLaunch(error, context, command, log) : error;
    await rm(context.guard.seen(folder), { recursive: true, force: true });
    throw explainSystemError('start a process in a container', explained);
  } finally {
    endBoot();
  }
}

/** Ends the process of a start that has failed, as it may have been kept from ending by itself. */
function endLeft(context: BootContext, process: StartedProcess): void {
  const stopKilling = keepKilling(context.guard, process, true);
  void context.exitWaiters.wait(process.guardPid).then(stopKilling);
}

function follow(place: ExecutionPlace, folder: string, launched: Launched, kind: ExecutionKind): ExecutedProcess {
  const { context } = place;
  const { channel, process, stdin, stdout, stderr } = launched;
  const letHostEnd = context.guard.keepHostAlive();
  let stopKilling: (() => void) | undefined;
  let over = false;
  const exited = context.exitWaiters
    .wait(process.guardPid)
    .then(async (status): Promise<ContainerExit> => {
      over = true;
      stopKilling?.();
      await channel.finish();
      const report = kind === 'command' ? confirmedEnd(launched.lastReport(), status) : endOf(status);
      return exitOf({ report, killed: stopKilling !== undefined });
    })
    .finally(letHostEnd);
  void launched.fault.then(place.endForFault);
  // With the container's bundle at the latest; a fault here is no fault of the process.
  void exited.then(() => rm(context.guard.seen(folder), { recursive: true, force: true }).catch(() => undefined));
  return {
    pid: process.pid,
    stdin,
    stdout,
    stderr,
    exited,
    signal: (number) => {
      channel.signal(number);
    },
    kill: () => {
      if (!over && stopKilling === undefined) {
        channel.close();
        stopKilling = keepKilling(context.guard, process, kind === 'init');
      }
      return exited;
    },
  };
}
