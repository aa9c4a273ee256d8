// Asking the guard's starter (native/start.c) for a container, or for a process in one, and waiting until its command has
// been executed. What the process has as stdin, stdout and stderr are the other ends of the connections made here, so
// nothing stands between it and the host afterwards.
import type { Readable, Writable } from 'node:stream';
import { BabelhostError } from '../errors.ts';
import { ControlChannel, type ContainerReport, type GuestProcess } from './control.ts';
import type { Guard } from './guard.ts';
import type { ContainerId } from './id.ts';
import { connectOutput } from './output.ts';
import { connectToStarter, header } from './starter-connection.ts';

export interface LaunchOptions {
  readonly guard: Guard;
  /** Tells which connections belong together; nobody else's at the same time. */
  readonly id: ContainerId;
  /** What is to be done (native/request.c): the runtime's file for the process id, options, its command line. */
  readonly arguments: readonly string[];
  /** The content of the file that the option `--config` names. */
  readonly content: string;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Launched {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly control: ControlChannel;
  /** Process 1 of the container, or the process of ours that another one runs under. */
  readonly process: GuestProcess;
  /** What process 1 said about the end of its child; undefined until then. */
  readonly lastReport: () => ContainerReport | undefined;
}

/** Why a launch failed, for whoever can read the runtime's log. */
export class LaunchFailure extends Error {
  override readonly name = 'LaunchFailure';
  /** What the bootstrap wrote to its stderr. */
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
  const { guard, id, signal } = options;
  signal?.throwIfAborted();
  let guest: GuestProcess | undefined;
  let executed = false;
  let lastReport: ContainerReport | undefined;
  let status: number | null = null;
  const complaints: string[] = [];
  const outcome = Promise.withResolvers<boolean>();
  const onReport = (report: ContainerReport) => {
    // In either order: one comes from process 1, the other from the starter, when the runtime has returned.
    if (report.kind === 'process') guest = report;
    else if (report.kind === 'started') executed = true;
    else if (report.kind === 'complaint') complaints.push(report.text);
    else if (report.kind === 'ended') status = report.status;
    else lastReport = report;
    if (status !== null) outcome.resolve(false);
    else if (executed && guest !== undefined) outcome.resolve(true);
  };

  // At the end of the channel the starter kills the runtime, and process 1, where it exists, ends too.
  let interruption: { readonly reason: unknown } | undefined;
  const interrupt = (reason: unknown) => {
    interruption ??= { reason };
    control.close();
  };
  const [channel, stdin, stdout, stderr] = [
    connectToStarter(guard, `${id} c ${header(options.arguments, options.content)}`, interrupt),
    connectToStarter(guard, `${id} 0 ${header()}`, interrupt),
    connectToStarter(guard, `${id} 1 ${header()}`, interrupt, connectOutput),
    connectToStarter(guard, `${id} 2 ${header()}`, interrupt),
  ];
  const control = new ControlChannel(channel, onReport);
  void control.ended.then(() => {
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
    if (interruption !== undefined) throw interruption.reason;
    if (!running || guest === undefined) {
      // What process 1 has to say may still be on its way.
      control.close();
      await control.ended;
      throw new LaunchFailure(complaints.join('\n'), status, lastReport);
    }
    return { stdin, stdout, stderr, control, process: guest, lastReport: () => lastReport };
  } catch (error) {
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
    control.close();
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

function bootTimeout(timeoutMs: number): BabelhostError {
  return new BabelhostError(
    'timeout',
    `The container was not running after ${timeoutMs} ms. If this machine is only slow, allow more with bootTimeoutMs.`,
    { timeoutMs },
  );
}
