// A further process in a container that runs: joins its namespaces, limits and seccomp filter through the runtime's
// `exec`; a command under a process of ours (native/init) that reports how it ended. It ends with its container at the
// latest. The container's other processes may stop it or kill it, but cannot see or change its memory.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { joiningArguments } from '../cgroup/placement.ts';
import { explainLaunch, explainSystemError } from '../diagnose/failures.ts';
import { launch, LaunchFailure } from './launch.ts';
import { newContainerId } from '../id.ts';
import { executeArguments } from '../oci/runtime-program.ts';
import { processSpec, type ContainerProcess } from '../oci/spec.ts';
import type { BootContext, BootOptions } from './boot-context.ts';
import type { ContainerFiles } from './container-files.ts';
import { exitOf, type ContainerExit } from './exit.ts';
import { processOptions } from './process-options.ts';
import { SupervisedProcess, type ExecutionKind } from './supervised-process.ts';

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

/** The container that a process is started in. */
export interface ExecutionPlace {
  readonly context: BootContext;
  readonly options: BootOptions;
  readonly files: ContainerFiles;
  /** Ends the container: one of its processes has forged a line of ours. */
  readonly endForFault: (line: string) => void;
}

/**
 * Starts a process in a container; resolves when its command has been executed.
 * @throws BabelhostError `containerFailed`, `timeout`; the signal's reason if it is aborted
 */
export async function executeInContainer(
  { context, options, files, endForFault }: ExecutionPlace,
  process: ContainerProcess,
  kind: ExecutionKind,
  signal: AbortSignal | undefined,
): Promise<ExecutedProcess> {
  signal?.throwIfAborted();
  const { guard, runtime, placement } = context;
  const id = newContainerId();
  const folder = path.join(files.bundle, 'processes', id);
  const specification = path.join(folder, 'process.json');
  const own = {
    state: files.state,
    log: path.join(folder, 'log.json'),
    pidFile: path.join(folder, 'pid'),
    specification,
  };
  const remove = () => rm(guard.seen(folder), { recursive: true, force: true });
  const endBoot = guard.beginBoot();
  try {
    const launched = await launch({
      guard,
      id,
      arguments: [
        ...[own.pidFile, '--config', specification, ...joiningArguments(placement, options.id)],
        ...['--', ...executeArguments(runtime, own, options.id)],
      ],
      content: JSON.stringify(processSpec(await processOptions(context, options, process, kind))),
      silent: kind === 'init',
      timeoutMs: context.bootTimeoutMs,
      signal,
    });
    void launched.channel.fault.then(endForFault);
    const supervised = new SupervisedProcess(guard, launched, kind);
    const exited = supervised.ended.then((report) => exitOf({ report, killed: supervised.wasKilled() }));
    // What cannot be removed now is removed with the container's bundle.
    void exited.then(() => remove().catch(() => undefined));
    return {
      pid: launched.process.pid,
      stdin: launched.stdin,
      stdout: launched.stdout,
      stderr: launched.stderr,
      exited,
      signal: (number) => {
        supervised.signal(number);
      },
      kill: () => {
        supervised.kill();
        return exited;
      },
    };
  } catch (error) {
    const failure = error instanceof LaunchFailure ? error : undefined;
    if (failure?.report?.kind === 'fault') endForFault(failure.report.line);
    const explained = failure ? await explainLaunch(failure, context, process.args[0] ?? '', own.log) : error;
    await remove();
    throw explainSystemError('start a process in a container', explained);
  } finally {
    endBoot();
  }
}
