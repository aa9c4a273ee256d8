// Asking the guard's starter (native/start.c) for a container, or for a process in one, and waiting until its command has
// been executed. What the process has as stdin, stdout and stderr are the other ends of the connections made here, so
// nothing stands between it and the host afterwards.
import type { Readable, Writable } from 'node:stream';
import { BabelhostError } from '../../base/errors.ts';
import { ContainerChannel, type ContainerReport, type EndReport } from '../boot/control.ts';
import { longestGuardLine, parseStarterLine, type StartedProcess } from './reports.ts';
import type { Guard } from './guard.ts';
import type { ContainerId } from '../id.ts';
import { finish, readLines } from './lines.ts';
import { beginning, connectToStarter, type ConnectionKind } from './starter-connection.ts';

export interface LaunchOptions {
  readonly guard: Guard;
  /** Tells which connections belong together; nobody else's at the same time. */
  readonly id: ContainerId;
  /** What is to be done (native/request.c): the runtime's file for the process id, options, its command line. */
  readonly arguments: readonly string[];
  /** The content of the file that the option `--config` names. */
  readonly content: string;
  /** Whether the process says nothing on its channel: it is no command under init, and runs when the runtime has returned. */
  readonly silent?: boolean;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Is told of the process as soon as it is known: where the launch fails then, it may have to be ended. */
  readonly onProcess?: (process: StartedProcess) => void;
}

/** How long a runtime that was killed may take to be gone. */
const killPatienceMs = 5000;

export interface Launched {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly channel: ContainerChannel;
  /** Process 1 of the container, or the process of ours that another one runs under. */
  readonly process: StartedProcess;
  /** What process 1 said about the end of its child; undefined until then. */
  readonly lastReport: () => EndReport | undefined;
  /** Resolves with what was said in the place of process 1, if ever that happens. */
  readonly fault: Promise<string>;
}

/** Why a launch failed, for whoever can read the runtime's log. */
export class LaunchFailure extends Error {
  override readonly name = 'LaunchFailure';
  /** What the bootstrap complained of. */
  readonly complaints: string;
  readonly status: number | null;
  /** What process 1 said, where it came so far: why the image's command could not be executed. */
  readonly report: ContainerReport | undefined;

  constructor(complaints: string, status: number | null, report: ContainerReport | undefined) {
    super('the container was not started');
    this.complaints = complaints;
    this.status = status;
    this.report = report;
  }
}

/**
 * Starts a container and resolves when its command has been executed.
 * @throws LaunchFailure; BabelhostError `timeout`; the signal's reason if it is aborted
 */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const { guard, id, silent = false, signal } = options;
  signal?.throwIfAborted();
  let guest: StartedProcess | undefined;
  let executed = silent;
  let lastReport: ContainerReport | undefined;
  let status: number | null = null;
  const complaints: string[] = [];
  const outcome = Promise.withResolvers<boolean>();
  const fault = Promise.withResolvers<string>();
  const settle = () => {
    if (status !== null || lastReport?.kind === 'fault') outcome.resolve(false);
    else if (executed && guest !== undefined) outcome.resolve(true);
  };
  // In either order: one comes from process 1, the other from the starter, when the runtime has returned.
  const onReport = (report: ContainerReport) => {
    if (report.kind === 'started') executed = true;
    else lastReport = report;
    if (report.kind === 'fault') fault.resolve(report.line);
    settle();
  };
  const onStarterLine = (line: string | undefined) => {
    const report = parseStarterLine(line ?? '');
    if (report?.kind === 'process') {
      guest = report.process;
      options.onProcess?.(guest);
    } else if (report?.kind === 'ended') status = report.status;
    else complaints.push(report?.text ?? 'the starter said what it never says');
    settle();
  };

  let interruption: { readonly reason: unknown } | undefined;
  const interrupt = (reason: unknown) => {
    interruption ??= { reason };
    outcome.resolve(false);
  };
  const connection = (kind: ConnectionKind) => connectToStarter(guard, beginning(id, kind), interrupt);
  const starter = connectToStarter(guard, beginning(id, 'start', options.arguments, options.content), interrupt);
  const [stdin, stdout, stderr] = [connection('stdin'), connection('stdout'), connection('stderr')];
  const channel = new ContainerChannel(connection('channel'), onReport, silent);
  const started = readLines(starter, longestGuardLine, onStarterLine);
  void Promise.all([started, channel.ended]).then(() => {
    outcome.resolve(false);
  });
  const onAbort = () => {
    interrupt(signal?.reason);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => {
    interrupt(bootTimeout(options.timeoutMs));
  }, options.timeoutMs);
  try {
    const running = await outcome.promise;
    if (running && guest !== undefined && interruption === undefined) {
      const process = guest;
      return { stdin, stdout, stderr, channel, process, lastReport: () => endReport(lastReport), fault: fault.promise };
    }
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
    // At the end of its channel the starter kills the runtime; at that of the container's, process 1 ends where it is there.
    starter.end();
    channel.close();
    // The runtime is to be gone before anybody removes what it has made, and what process 1 has to say may be on its way.
    await Promise.all([finish(starter, started, killPatienceMs), channel.finish()]);
    if (interruption !== undefined) throw interruption.reason;
    throw new LaunchFailure(complaints.join('\n'), status, lastReport);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

function endReport(report: ContainerReport | undefined): EndReport | undefined {
  return report?.kind === 'exited' || report?.kind === 'signaled' ? report : undefined;
}

function bootTimeout(timeoutMs: number): BabelhostError {
  return new BabelhostError(
    'timeout',
    `The container was not running after ${timeoutMs} ms. If this machine is only slow, allow more with bootTimeoutMs.`,
    { timeoutMs },
  );
}
