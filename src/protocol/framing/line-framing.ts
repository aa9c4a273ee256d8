// One line of JSON for each message, ended by LF or CRLF, bounded. Blank lines are passed over; the last line need not end.
import { TopLevelIdFinder } from '../message-id.ts';
import type { ByteQueue } from './byte-queue.ts';
import type { Found, Framing } from './framing.ts';

const blank = new Set(Buffer.from(' \t\r', 'latin1'));

export class LineFraming implements Framing {
  readonly name = 'lines';
  readonly #messageBytes: number;
  /** The line that is passed over because it is too large: its bytes so far, and its id. */
  #skipped: { length: number; readonly finder: TopLevelIdFinder } | undefined;

  /** @param messageBytes the largest line that is accepted */
  constructor(messageBytes: number) {
    this.#messageBytes = messageBytes;
  }

  next(bytes: ByteQueue): Found | undefined {
    for (;;) {
      const length = bytes.lineLength();
      if (length === undefined) {
        if (this.#skipped !== undefined || bytes.length > this.#messageBytes) this.#skip(bytes, bytes.length);
        return undefined;
      }
      const found = this.#takeLine(bytes, length);
      bytes.skip(1);
      if (found !== undefined) return found;
    }
  }

  last(bytes: ByteQueue): Found | undefined {
    return this.#takeLine(bytes, bytes.length);
  }

  /** Takes a line, or the rest of one; undefined where it is blank. */
  #takeLine(bytes: ByteQueue, length: number): Found | undefined {
    if (this.#skipped === undefined && length <= this.#messageBytes) {
      const content = bytes.take(length);
      return content.every((byte) => blank.has(byte)) ? undefined : { content };
    }
    const skipped = this.#skip(bytes, length);
    this.#skipped = undefined;
    const { finder } = skipped;
    return { fault: { kind: 'tooLarge', length: skipped.length, limit: this.#messageBytes, id: finder.id } };
  }

  #skip(bytes: ByteQueue, length: number): { readonly length: number; readonly finder: TopLevelIdFinder } {
    this.#skipped ??= { length: 0, finder: new TopLevelIdFinder() };
    this.#skipped.finder.feed(bytes.take(length));
    this.#skipped.length += length;
    return this.#skipped;
  }
}
