// Asks the guard's starter (native/start.c) for a container, or for a process in one, and waits until its command has been
// executed. The process has the other ends of these connections as stdin, stdout and stderr: nothing relays them.
import type { Readable, Writable } from 'node:stream';
import { BabelhostError } from '../../base/errors.ts';
import { ContainerChannel, type ContainerReport } from './channel.ts';
import { keepKilling } from './supervised-process.ts';
import { longestGuardLine, parseStarterLine, type StartedProcess } from '../guard/reports.ts';
import type { Guard } from '../guard/guard.ts';
import type { ContainerId } from '../id.ts';
import { finish, readLines } from '../guard/lines.ts';
import { beginning, connectToStarter, type ConnectionKind } from '../guard/starter-connection.ts';

export interface LaunchOptions {
  readonly guard: Guard;
  /** Tells which connections belong together; nobody else's at the same time. */
  readonly id: ContainerId;
  /** The request (native/request.c): the runtime's file for the process id, options, its command line. */
  readonly arguments: readonly string[];
  /** The content of the file that the option `--config` names. */
  readonly content: string;
  /** Whether the process writes nothing to its channel: it is no command under init, and runs when the runtime has returned. */
  readonly silent?: boolean;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** How long a runtime that was killed may take to be gone. */
const killTimeoutMs = 5000;

export interface Launched {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly channel: ContainerChannel;
  /** Process 1 of the container, or our process that a further one runs under. */
  readonly process: StartedProcess;
}

/** Why a launch failed; the runtime's log may say more. */
export class LaunchFailure extends Error {
  override readonly name = 'LaunchFailure';
  /** What the bootstrap complained of. */
  readonly complaints: string;
  /** The runtime's exit status; null if it did not exit by itself. */
  readonly status: number | null;
  /** What process 1 reported last: why the command could not be executed, where that is the reason. */
  readonly report: ContainerReport | undefined;

  constructor(complaints: string, status: number | null, report: ContainerReport | undefined) {
    super('the container was not started');
    this.complaints = complaints;
    this.status = status;
    this.report = report;
  }
}

/**
 * Starts a container and resolves when its command has been executed. If that fails, the process is killed.
 * @throws LaunchFailure; BabelhostError `timeout`; the signal's reason if it is aborted
 */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const { guard, id, silent = false, timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const interruption = Promise.withResolvers<never>();
  const connection = (kind: ConnectionKind) => connectToStarter(guard, beginning(id, kind), interruption.reject);
  const starter = connectToStarter(
    guard,
    beginning(id, 'start', options.arguments, options.content),
    interruption.reject,
  );
  const [stdin, stdout, stderr] = [connection('stdin'), connection('stdout'), connection('stderr')];
  const channel = new ContainerChannel(connection('channel'), silent);

  let status: number | null = null;
  const complaints: string[] = [];
  const started = Promise.withResolvers<StartedProcess | undefined>();
  const answered = readLines(starter, longestGuardLine, (line) => {
    const report = parseStarterLine(line ?? '');
    if (report?.kind === 'process') started.resolve(report.process);
    else if (report?.kind === 'ended') status = report.status;
    else complaints.push(report?.text ?? 'the starter said what it never says');
    if (status !== null) started.resolve(undefined);
  });
  void answered.then(started.resolve);
  /** The process, once its command has been executed; undefined if it was not. */
  const executed = async () => {
    const process = await started.promise;
    if (process === undefined || silent) return process;
    return (await channel.first)?.kind === 'started' ? process : undefined;
  };

  const onAbort = () => {
    interruption.reject(signal?.reason);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => {
    interruption.reject(bootTimeout(timeoutMs));
  }, timeoutMs);
  const end = async () => {
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
    // The starter kills the runtime at the end of its channel; process 1 exits at the end of the container's.
    starter.end();
    channel.close();
    // Nobody may remove what the runtime makes before it is gone, and the last report may still be on its way.
    await Promise.all([finish(starter, answered, killTimeoutMs), channel.finish()]);
    const process = await started.promise;
    // Other processes of the container may keep it from ending by itself.
    if (process !== undefined) keepKilling(guard, process, guard.waitForExit(process.guardPid), true);
  };
  try {
    const fault = channel.fault.then(() => undefined);
    const process = await Promise.race([interruption.promise, fault, executed()]);
    if (process !== undefined) return { stdin, stdout, stderr, channel, process };
  } catch (reason) {
    await end();
    throw reason;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
  await end();
  throw new LaunchFailure(complaints.join('\n'), status, channel.last);
}

function bootTimeout(timeoutMs: number): BabelhostError {
  return new BabelhostError(
    'timeout',
    `The container was not running after ${timeoutMs} ms. If this machine is only slow, allow more with bootTimeoutMs.`,
    { timeoutMs },
  );
}
