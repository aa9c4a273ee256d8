// The control channel between the host and a container's process 1 (native/init.c), a line for each message.
import type { Duplex } from 'node:stream';

/** A process that the guard's starter has started, as it tells of it. */
export interface GuestProcess {
  /** The host's id of it; 0 if it had ended already. */
  readonly pid: number;
  /** Its id in the guard's namespace, and when it was started, which tells it from others that had the id before. */
  readonly guardPid: number;
  readonly startedAt: string;
}

/** What comes from process 1, and from the guard's starter (native/start.c) while it boots the container. */
export type ContainerReport =
  /** What the bootstrap has to complain of, and that nothing was started: the runtime's exit status. */
  | { readonly kind: 'complaint'; readonly text: string }
  | { readonly kind: 'ended'; readonly status: number }
  /** Process 1. */
  | ({ readonly kind: 'process' } & GuestProcess)
  | { readonly kind: 'started' }
  | { readonly kind: 'failed'; readonly error: string; readonly command: string }
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signaled'; readonly signal: number };

/** Longer lines than any that process 1 writes: the driver cannot reach the channel, so this is our own fault. */
const longestLine = 8192;

export function parseReport(line: string): ContainerReport | undefined {
  const [kind, first = '', ...rest] = line.split(' ');
  const [second = '', third = ''] = rest;
  switch (kind) {
    case 'process':
      return { kind, pid: Number(first), guardPid: Number(second), startedAt: third };
    case 'started':
      return { kind };
    case 'bootstrap:':
      return { kind: 'complaint', text: line.slice('bootstrap: '.length) };
    case 'ended':
      return { kind, status: Number(first) };
    case 'failed':
      return { kind, error: first, command: rest.join(' ') };
    case 'exited':
      return { kind, code: Number(first) };
    case 'signaled':
      return { kind, signal: Number(first) };
    default:
      return undefined;
  }
}

/** Splits what comes from `stream` into lines. `onEnd` is called once, after the last line. */
export function readLines(stream: Duplex | NodeJS.ReadableStream, onLine: (line: string) => void, onEnd: () => void) {
  let rest = '';
  let ended = false;
  const end = () => {
    if (ended) return;
    ended = true;
    onEnd();
  };
  stream.setEncoding('utf8');
  stream.on('data', (text: string) => {
    rest += text;
    for (let at = rest.indexOf('\n'); at >= 0; at = rest.indexOf('\n')) {
      const line = rest.slice(0, at);
      rest = rest.slice(at + 1);
      onLine(line);
    }
    if (rest.length > longestLine) rest = '';
  });
  stream.on('end', end);
  stream.on('close', end);
  // A reset connection is an end like any other: what matters comes from the guard.
  stream.on('error', end);
}

/** The host's end of the channel. */
export class ControlChannel {
  /** Resolves when process 1 has ended and everything it wrote was read. */
  readonly ended: Promise<void>;
  readonly #stream: Duplex;

  constructor(stream: Duplex, onReport: (report: ContainerReport) => void) {
    this.#stream = stream;
    this.ended = new Promise((resolve) => {
      readLines(
        stream,
        (line) => {
          const report = parseReport(line);
          if (report !== undefined) onReport(report);
        },
        resolve,
      );
    });
  }

  signal(number: number): void {
    if (this.#stream.writable) this.#stream.write(`signal ${number}\n`);
  }

  /** Process 1 sees the end of the channel and exits, and the kernel ends everything else in the container. */
  close(): void {
    this.#stream.end();
  }
}
