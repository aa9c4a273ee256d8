// Asking the guard's starter (native/start.c) for a container, or for a process in one, and waiting until its command has
// been executed. What the process has as stdin, stdout and stderr are the other ends of the connections made here, so
// nothing stands between it and the host afterwards.
import { connect, type Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { BabelhostError, systemErrorCode } from '../errors.ts';
import { ControlChannel, type ContainerReport } from './control.ts';
import { explainSystemError } from './failures.ts';
import type { Guard } from './guard.ts';
import type { ContainerId } from './id.ts';
import { connectOutput } from './output.ts';

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
  /** Process 1 of the container, as the host and as the guard's namespace have it. */
  readonly pid: number;
  readonly guardPid: number;
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
  let process: { pid: number; guardPid: number } | undefined;
  let executed = false;
  let lastReport: ContainerReport | undefined;
  let status: number | null = null;
  const complaints: string[] = [];
  const outcome = Promise.withResolvers<boolean>();
  const onReport = (report: ContainerReport) => {
    // In either order: one comes from process 1, the other from the starter, when the runtime has returned.
    if (report.kind === 'process') process = report;
    else if (report.kind === 'started') executed = true;
    else if (report.kind === 'complaint') complaints.push(report.text);
    else if (report.kind === 'ended') status = report.status;
    else lastReport = report;
    if (status !== null) outcome.resolve(false);
    else if (executed && process !== undefined) outcome.resolve(true);
  };

  // At the end of the channel the starter kills the runtime, and process 1, where it exists, ends too.
  let interruption: { readonly reason: unknown } | undefined;
  const interrupt = (reason: unknown) => {
    interruption ??= { reason };
    control.close();
  };
  const [channel, stdin, stdout, stderr] = [
    open(guard, `${id} c ${header(options)}`, interrupt),
    open(guard, `${id} 0 ${header()}`, interrupt),
    open(guard, `${id} 1 ${header()}`, interrupt, connectOutput),
    open(guard, `${id} 2 ${header()}`, interrupt),
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
    if (!running || process === undefined) {
      // What process 1 has to say may still be on its way.
      control.close();
      await control.ended;
      throw new LaunchFailure(complaints.join('\n'), status, lastReport);
    }
    return { stdin, stdout, stderr, control, ...process, lastReport: () => lastReport };
  } catch (error) {
    for (const stream of [stdin, stdout, stderr]) stream.destroy();
    control.close();
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

/** The lengths of a request, in a field of eight each, and the request itself; nothing but zeros for other connections. */
function header(request?: LaunchOptions): string {
  const field = (number: number) => String(number).padStart(8);
  if (request === undefined) return `${field(0)} ${field(0)}\n`;
  const strings = request.arguments.map((argument) => `${argument}\0`).join('');
  const lengths = [strings, request.content].map((part) => field(Buffer.byteLength(part)));
  return `${lengths.join(' ')}\n${strings}${request.content}`;
}

/** Makes one connection and sends what it begins with. */
function open(
  guard: Guard,
  beginning: string,
  onFailure: (reason: unknown) => void,
  connectTo: (path: string) => Socket = connect,
): Socket {
  const socket = connectTo(guard.startSocket);
  socket.on('error', (error) => {
    // Later on, a process that has closed its end is no fault of the host's: who writes is told by the callback.
    const { syscall } = error as NodeJS.ErrnoException;
    if (syscall === 'connect') onFailure(explainConnection(error));
  });
  socket.write(beginning);
  return socket;
}

function explainConnection(error: Error): unknown {
  const code = systemErrorCode(error);
  if (code !== 'ENOENT' && code !== 'ECONNREFUSED') return explainSystemError('start a container', error);
  return new BabelhostError('containerFailed', 'The guard of the containers has ended; the next start makes another.', {
    cause: code,
  });
}

function bootTimeout(timeoutMs: number): BabelhostError {
  return new BabelhostError(
    'timeout',
    `The container was not running after ${timeoutMs} ms. If this machine is only slow, allow more with bootTimeoutMs.`,
    { timeoutMs },
  );
}
