// The container's channel: what process 1 of a container, or the process of ours that another one runs under, says on its
// descriptor 3 (native/init), a line for each report. It says nothing about processes of this machine: what is so with
// those comes from the guard alone (guard-reports.ts).
import type { Duplex } from 'node:stream';
import { finish, LineSplitter, readBytes } from '../guard/lines.ts';

export type ContainerReport =
  /** The command has been executed, or could not be; the error is the errno's name. */
  | { readonly kind: 'started' }
  | { readonly kind: 'failed'; readonly error: string }
  /** How the command has ended. */
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signaled'; readonly signal: number }
  /** What it never says, or never at that time: somebody else has written in its place. `line` is printable and short. */
  | { readonly kind: 'fault'; readonly line: string };

/** How a command has ended. */
export type EndReport = Extract<ContainerReport, { kind: 'exited' | 'signaled' }>;

/** `failed` with the longest name of an errno has 24 bytes. */
const longestLine = 40;
const highestSignal = 64;

/** How long what a process has said last may take to come when the process is gone: it has been sent already. */
const lastWordsMs = 1000;

/** Takes reports out of bytes that come in any pieces: `started` or `failed` first, then how it ended, and no more. */
export class ReportParser {
  readonly #lines = new LineSplitter(longestLine);
  #expected: 'start' | 'end' | 'nothing';
  #faulty = false;

  /** @param silent whether the process has nothing to say, so that anything is a fault */
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
  /** Resolves when everybody in the container has let go of it, and everything was read. */
  readonly ended: Promise<undefined>;
  readonly #stream: Duplex;

  /** @param silent as of ReportParser */
  constructor(stream: Duplex, onReport: (report: ContainerReport) => void, silent = false) {
    const parser = new ReportParser(silent);
    this.#stream = stream;
    this.ended = readBytes(stream, (bytes) => {
      for (const report of parser.parse(bytes)) onReport(report);
    });
  }

  signal(number: number): void {
    if (this.#stream.writable) this.#stream.write(`signal ${number}\n`);
  }

  /** Process 1 sees the end of the channel and exits, and the kernel ends everything else in the container. */
  close(): void {
    this.#stream.end();
  }

  /** For when the process is gone, or should be: resolves when all that it has said was read, at the latest after a second. */
  async finish(): Promise<void> {
    await finish(this.#stream, this.ended, lastWordsMs);
  }
}
