// A driver's stderr: its end is kept for the error of a crash, and its size is logged. The lines are logged only where that
// was asked for, since they may quote the source; bounded in rate and length, for a driver may write without end.
import type { Readable } from 'node:stream';
import type { Logger } from '../../base/log.ts';

/** The last this many characters are kept. */
const tailLength = 4096;
/** A line is logged up to this many characters. */
const lineLength = 1024;
/** At most this many lines are logged in each period; the rest are counted. */
const linesPerPeriod = 20;
const periodMs = 1000;

export class StandardErrorLog {
  readonly #logger: Logger;
  readonly #logLines: boolean;
  #tail = '';
  #line = '';
  #periodStart = 0;
  #logged = 0;
  /** Since they were last logged. */
  #unlogged = { lines: 0, characters: 0 };

  /**
   * Reads `stream` to its end: a full pipe would stop the driver.
   * @param logLines whether the lines are logged, and not only their number
   */
  constructor(stream: Readable, logger: Logger, logLines: boolean) {
    this.#logger = logger;
    this.#logLines = logLines;
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      this.#receive(text);
    });
    stream.on('error', () => undefined);
    stream.once('end', () => {
      if (this.#line !== '') this.#logLine(this.#line);
      this.#logCounts();
    });
  }

  /** The last 4,096 characters. */
  get tail(): string {
    return this.#tail;
  }

  #receive(text: string): void {
    this.#tail = (this.#tail + text).slice(-tailLength);
    const lines = text.split('\n');
    for (const [index, part] of lines.entries()) {
      if (this.#line.length < lineLength) this.#line += part.slice(0, lineLength - this.#line.length);
      this.#unlogged.characters += part.length;
      if (index === lines.length - 1) break;
      this.#logLine(this.#line);
      this.#line = '';
    }
  }

  #logLine(line: string): void {
    const now = performance.now();
    if (now - this.#periodStart > periodMs) {
      this.#logCounts();
      this.#periodStart = now;
      this.#logged = 0;
    }
    if (this.#logLines && this.#logged < linesPerPeriod) {
      this.#logged += 1;
      this.#logger.info({ stderr: line }, 'driver stderr');
    } else this.#unlogged.lines += 1;
  }

  #logCounts(): void {
    if (this.#unlogged.lines === 0) return;
    const { lines, characters } = this.#unlogged;
    this.#unlogged = { lines: 0, characters: 0 };
    // Lines that are missing are worth a warning only where lines are logged.
    if (this.#logLines) this.#logger.warn({ lines }, 'more lines of the driver’s stderr were not logged');
    else this.#logger.debug({ lines, characters }, 'the driver wrote to its stderr (--log-driver-stderr logs what)');
  }
}
