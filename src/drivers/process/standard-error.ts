// What a driver writes to its stderr: its end kept for the error of a crash, and the log told how much there was. The
// lines themselves are logged only where that was asked for, since they may quote the source: bounded in rate and length,
// because a driver may write a million lines, or one without end.
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
  /** Since the log was last told of them. */
  #untold = { lines: 0, characters: 0 };

  /**
   * Reads `stream` to its end, whatever comes: a full pipe would stop the driver.
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
      if (this.#line !== '') this.#ended(this.#line);
      this.#tell();
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
      this.#untold.characters += part.length;
      if (index === lines.length - 1) break;
      this.#ended(this.#line);
      this.#line = '';
    }
  }

  #ended(line: string): void {
    const now = performance.now();
    if (now - this.#periodStart > periodMs) {
      this.#tell();
      this.#periodStart = now;
      this.#logged = 0;
    }
    if (this.#logLines && this.#logged < linesPerPeriod) {
      this.#logged += 1;
      this.#logger.info({ stderr: line }, 'driver stderr');
    } else this.#untold.lines += 1;
  }

  #tell(): void {
    if (this.#untold.lines === 0) return;
    const { lines, characters } = this.#untold;
    this.#untold = { lines: 0, characters: 0 };
    // Where lines are logged, those that are missing are worth a warning; where they are not, nobody misses them.
    if (this.#logLines) this.#logger.warn({ lines }, 'more lines of the driver’s stderr were not logged');
    else this.#logger.debug({ lines, characters }, 'the driver wrote to its stderr (--log-driver-stderr logs what)');
  }
}
