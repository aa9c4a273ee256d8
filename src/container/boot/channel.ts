// The container's channel: process 1 of a container, or our process that a further one runs under, writes a line for each
// report to its descriptor 3 (native/init). A container may forge these; only the guard tells which processes of this
// machine have ended (guard/reports.ts).
import type { Duplex } from 'node:stream';
import { finish, LineSplitter, readBytes } from '../guard/lines.ts';

export type ContainerReport =
  /** The command has been executed, or could not be; the error is the errno's name. */
  | { readonly kind: 'started' }
  | { readonly kind: 'failed'; readonly error: string }
  /** How the command has ended. */
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signaled'; readonly signal: number }
  /** A line that our process never writes, or not then: another one has forged it. `line` is printable and short. */
  | { readonly kind: 'fault'; readonly line: string };

/** How a command has ended. */
export type EndReport = Extract<ContainerReport, { kind: 'exited' | 'signaled' }>;

/** `failed` with the longest name of an errno has 24 bytes. */
const longestLine = 40;
const highestSignal = 64;

/** How long the last report of a process that is gone may take to arrive: it has been sent already. */
const finishMs = 1000;

/** Parses reports from bytes in any pieces: `started` or `failed` first, then how the command ended, and no more. */
export class ReportParser {
  readonly #lines = new LineSplitter(longestLine);
  #expected: 'start' | 'end' | 'nothing';
  #faulty = false;

  /** @param silent whether the process reports nothing, so that any line is a fault */
  constructor(silent = false) {
    this.#expected = silent ? 'nothing' : 'start';
  }

  /** The reports that `bytes` complete. After a fault there are none. */
  parse(bytes: Uint8Array): ContainerReport[] {
    const reports: ContainerReport[] = [];
    for (const line of this.#lines.split(bytes)) {
      if (this.#faulty) break;
      const report = this.#take(line);
      this.#faulty = report.kind === 'fault';
      reports.push(report);
    }
    return reports;
  }

  #take(line: string | undefined): ContainerReport {
    if (line === undefined) return { kind: 'fault', line: `more than ${longestLine} bytes in a line` };
    const report = parseLine(line);
    const comes = report?.kind === 'started' || report?.kind === 'failed' ? 'start' : 'end';
    if (report === undefined || comes !== this.#expected) {
      return { kind: 'fault', line: line.replaceAll(/[^ -~]/g, '?') };
    }
    this.#expected = report.kind === 'started' ? 'end' : 'nothing';
    return report;
  }
}

function parseLine(line: string): Exclude<ContainerReport, { kind: 'fault' }> | undefined {
  if (line === 'started') return { kind: 'started' };
  const [, error] = /^failed ([A-Z0-9]{1,32})$/.exec(line) ?? [];
  if (error !== undefined) return { kind: 'failed', error };
  const [, kind, digits] = /^(exited|signaled) (0|[1-9]\d{0,2})$/.exec(line) ?? [];
  const number = Number(digits);
  if (kind === 'exited' && number <= 255) return { kind, code: number };
  if (kind === 'signaled' && number >= 1 && number <= highestSignal) return { kind, signal: number };
  return undefined;
}

/** The host's end of the channel. */
export class ContainerChannel {
  /** The first report: whether the command has been executed. Undefined if the channel ended without one. */
  readonly first: Promise<ContainerReport | undefined>;
  /** Resolves with the line of a `fault`, if there ever is one. */
  readonly fault: Promise<string>;
  /** Resolves when everybody in the container has closed it, and everything was read. */
  readonly ended: Promise<undefined>;
  readonly #stream: Duplex;
  #last: ContainerReport | undefined;

  /** @param silent as of ReportParser */
  constructor(stream: Duplex, silent = false) {
    const parser = new ReportParser(silent);
    const first = Promise.withResolvers<ContainerReport | undefined>();
    const fault = Promise.withResolvers<string>();
    this.#stream = stream;
    this.first = first.promise;
    this.fault = fault.promise;
    this.ended = readBytes(stream, (bytes) => {
      for (const report of parser.parse(bytes)) {
        this.#last = report;
        first.resolve(report);
        if (report.kind === 'fault') fault.resolve(report.line);
      }
    });
    void this.ended.then(first.resolve);
  }

  /** The last report so far. */
  get last(): ContainerReport | undefined {
    return this.#last;
  }

  signal(number: number): void {
    if (this.#stream.writable) this.#stream.write(`signal ${number}\n`);
  }

  /** Process 1 sees the end of the channel and exits, and the kernel ends everything else in the container. */
  close(): void {
    this.#stream.end();
  }

  /** For a process that is gone, or should be: resolves when all that it has written was read, after a second at the latest. */
  async finish(): Promise<void> {
    await finish(this.#stream, this.ended, finishMs);
  }
}
