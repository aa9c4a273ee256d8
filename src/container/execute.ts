// A further process in a container that runs: joins its namespaces, limits and seccomp filter through the runtime's
// `exec`, under a process of ours (native/init.c) that reports how it ended. It ends at the latest with its container.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { BootContext, BootOptions } from './boot-context.ts';
import { joiningArguments } from './cgroup-placement.ts';
import { exitOf, type ContainerExit } from './exit.ts';
import { explainSystemError } from './failures.ts';
import { newContainerId } from './id.ts';
import { resourceLimits, substituteLimits } from './isolation.ts';
import { launch, LaunchFailure, type Launched } from './launch.ts';
import { explainLaunch } from './launch-failure.ts';
import { executeArguments } from './runtime-program.ts';
import { processSpec, type ContainerProcess } from './spec.ts';
import { processUser } from './user.ts';

/** A process that was started in a running container. */
export interface ExecutedProcess {
  /** The host's id of the process of ours that it runs under. */
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** How it ended. Never rejects. */
  readonly exited: Promise<ContainerExit>;
  /** Sends a signal to the process and its group. */
  signal(signal: number): void;
}

/** A container as its boot left it. */
export interface ExecutionPlace {
  readonly context: BootContext;
  readonly options: BootOptions;
  /** Where the runtime keeps its state. */
  readonly state: string;
  readonly bundle: string;
}

/**
 * Starts a process in a container; resolves when its command has been executed.
 * @throws BabelhostError `containerFailed`, `timeout`; the signal's reason if it is aborted
 */
export async function executeInContainer(
  place: ExecutionPlace,
  process: ContainerProcess & { readonly user: string },
  signal: AbortSignal | undefined,
): Promise<ExecutedProcess> {
  const { context, options, state } = place;
  signal?.throwIfAborted();
  const id = newContainerId();
  const folder = path.join(place.bundle, 'processes', id);
  const log = path.join(folder, 'log.json');
  const pidFile = path.join(folder, 'pid');
  const specification = path.join(folder, 'process.json');
  const endBoot = context.reapings.beginBoot();
  try {
    const spec = processSpec({
      process,
      user: await processUser(context.identity, options.rootfs, process.user),
      rlimits: resourceLimits(options.limits, context.highestLimits),
      initArguments: substituteLimits(context.placement, options.limits),
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
      timeoutMs: context.bootTimeoutMs,
      signal,
    });
    return follow(context, folder, launched);
  } catch (error) {
    const explained = error instanceof LaunchFailure ? await explainLaunch(error, context, log) : error;
    await rm(context.guard.seen(folder), { recursive: true, force: true });
    throw explainSystemError('start a process in a container', explained);
  } finally {
    endBoot();
  }
}

function follow(context: BootContext, folder: string, launched: Launched): ExecutedProcess {
  const { control, process, stdin, stdout, stderr } = launched;
  const letHostEnd = context.guard.keepHostAlive();
  const exited = Promise.all([control.ended, context.reapings.wait(process.guardPid)])
    .then((): ContainerExit => exitOf(launched.lastReport(), false, undefined))
    .finally(letHostEnd);
  // With the container's bundle at the latest; a fault here is no fault of the process.
  void exited.then(() => rm(context.guard.seen(folder), { recursive: true, force: true }).catch(() => undefined));
  return {
    pid: process.pid,
    stdin,
    stdout,
    stderr,
    exited,
    signal: (number) => {
      control.signal(number);
    },
  };
}
