// What a driver writes to its stderr: logged with the instance's id, bounded in rate and length, and its end kept for
// the error of a crash. A driver may write a million lines, or one without end.
import type { Readable } from 'node:stream';
import type { Logger } from '../log.ts';

/** The last this many characters are kept. */
const tailLength = 4096;
/** A line is logged up to this many characters. */
const lineLength = 1024;
/** At most this many lines are logged in each period; the rest are counted. */
const linesPerPeriod = 20;
const periodMs = 1000;

export class StandardErrorLog {
  readonly #logger: Logger;
  #tail = '';
  #line = '';
  #periodStart = 0;
  #linesInPeriod = 0;
  #dropped = 0;

  /** Reads `stream` to its end, whatever comes: a full pipe would stop the driver. */
  constructor(stream: Readable, logger: Logger) {
    this.#logger = logger;
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      this.#receive(text);
    });
    stream.on('error', () => undefined);
    stream.once('end', () => {
      if (this.#line !== '') this.#log(this.#line);
      this.#tellDropped();
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
      if (index === lines.length - 1) break;
      this.#log(this.#line);
      this.#line = '';
    }
  }

  #log(line: string): void {
    const now = performance.now();
    if (now - this.#periodStart > periodMs) {
      this.#tellDropped();
      this.#periodStart = now;
      this.#linesInPeriod = 0;
    }
    if (this.#linesInPeriod >= linesPerPeriod) {
      this.#dropped += 1;
      return;
    }
    this.#linesInPeriod += 1;
    // At the level `debug`: a driver's own words may quote the source, which the log must not hold unasked.
    this.#logger.debug({ stderr: line }, 'driver stderr');
  }

  #tellDropped(): void {
    if (this.#dropped > 0) this.#logger.warn({ lines: this.#dropped }, 'lines of the driver’s stderr were not logged');
    this.#dropped = 0;
  }
}
