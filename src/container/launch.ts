// Executing `bootstrap run` (native/run.c) and waiting until the container's process has been executed. The container
// inherits its ends of the pipes that Node makes here, so nothing stands between it and the host afterwards.
import type { ChildProcess } from 'node:child_process';
import type { Duplex, Readable, Writable } from 'node:stream';
import { BabelhostError } from '../errors.ts';
import { ControlChannel, type ContainerReport } from './control.ts';
import { spawnProcess } from './spawn.ts';

export interface LaunchOptions {
  readonly bootstrap: string;
  /** The arguments after `run`. */
  readonly arguments: readonly string[];
  /** A descriptor of the guard's folder in /proc. */
  readonly guard: number;
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

/** A runtime needs no more; the host's other variables are nobody's business. */
export function runtimeEnvironment(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin' };
}

/**
 * Starts a container and resolves when its command has been executed.
 * @throws LaunchFailure; BabelhostError `timeout`; the signal's reason if it is aborted
 */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const { signal } = options;
  signal?.throwIfAborted();
  const child = await spawnProcess('start a container', options.bootstrap, ['run', ...options.arguments], {
    stdio: ['ignore', 'ignore', 'pipe', options.guard, 'pipe', 'pipe', 'pipe', 'pipe'],
    env: runtimeEnvironment(),
  });
  const [, , , , controlStream, stdin, stdout, stderr] = child.stdio as unknown as Stdio;
  // A process that has closed its end is no fault of the host's: who writes is told by the callback.
  for (const stream of [stdin, stdout, stderr]) stream.on('error', () => undefined);
  const release = holdBack(stdout, stderr);

  let process: { pid: number; guardPid: number } | undefined;
  let executed = false;
  let lastReport: ContainerReport | undefined;
  const started = Promise.withResolvers<boolean>();
  const control = new ControlChannel(controlStream, (report) => {
    // In either order: one comes from process 1, the other from the bootstrap, which returns when it has written it.
    if (report.kind === 'process') process = report;
    else if (report.kind === 'started') executed = true;
    else lastReport = report;
    if (executed && process !== undefined) started.resolve(true);
  });
  void control.ended.then(() => {
    started.resolve(false);
  });

  const outcome = ending(child);
  // At the end of the channel the bootstrap kills the runtime and ends, and process 1, where it exists, ends too.
  let interruption: Error | undefined;
  const interrupt = (reason: Error) => {
    interruption ??= reason;
    control.close();
  };
  const onAbort = () => {
    interrupt(signal?.reason as Error);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => {
    interrupt(bootTimeout(options.timeoutMs));
  }, options.timeoutMs);
  try {
    const { status, complaints } = await outcome;
    // The runtime returns when process 1 is running: the executing of the command may be still to come.
    const running = status === 0 && (await started.promise);
    if (interruption !== undefined) throw interruption;
    if (!running || process === undefined) {
      // What process 1 has to say may still be on its way.
      control.close();
      await control.ended;
      throw new LaunchFailure(complaints, status, lastReport);
    }
    release();
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

type Stdio = [null, null, Readable, null, Duplex, Duplex, Duplex, Duplex];

function bootTimeout(timeoutMs: number): BabelhostError {
  return new BabelhostError(
    'timeout',
    `The container was not running after ${timeoutMs} ms. If this machine is only slow, allow more with bootTimeoutMs.`,
    { timeoutMs },
  );
}

/** The exit status of the bootstrap and what it wrote to its stderr. */
async function ending(child: ChildProcess): Promise<{ status: number | null; complaints: string }> {
  let complaints = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-8192);
  });
  const status = await new Promise<number | null>((resolve) => {
    child.once('exit', resolve);
  });
  // Until its stderr has been read to the end, and until Node has done what `holdBack` is about.
  if (status !== 0 && child.stderr?.readableEnded === false) {
    await new Promise((resolve) => child.stderr?.once('close', resolve));
  }
  await new Promise((resolve) => setImmediate(resolve));
  return { status, complaints };
}

/**
 * Keeps what the container writes for whoever reads it later. When a child process exits, Node resumes those of its
 * streams that nobody reads, to get at their end (flushStdio in lib/internal/child_process.js), and would lose what
 * they hold; ours outlive the child, which is the bootstrap. A stream with a 'readable' listener is left alone.
 */
function holdBack(...streams: readonly Readable[]): () => void {
  const keep = () => undefined;
  for (const stream of streams) stream.on('readable', keep);
  return () => {
    for (const stream of streams) stream.off('readable', keep);
  };
}
