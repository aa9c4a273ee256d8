// Finds the id of a JSON-RPC message that is too large to be kept, while its bytes go by, so that such a request gets an
// answer of its own.
import { JsonScanner, type Span } from '../json/scanner.ts';

/** The longest id that is found, in bytes. */
const idLimit = 1024;

/** Deeper nesting would take memory. */
const depthLimit = 100_000;

/** Scans the bytes of a JSON object for the value of its own `id` member, at any place in it and across any chunks. */
export class TopLevelIdFinder {
  readonly #scanner = new JsonScanner({
    depthLimit,
    onMember: (name, _depth, span) => {
      if (name === 'id' && span.end - span.start <= idLimit) this.#take(span);
    },
  });
  /** The last bytes before the current ones, the current ones, and their offset in the message. */
  #before = Buffer.alloc(0);
  #bytes: Uint8Array = this.#before;
  #base = 0;
  #id: string | number | null = null;

  /** The id, or null where none was found. */
  get id(): string | number | null {
    return this.#id;
  }

  feed(bytes: Uint8Array): void {
    this.#bytes = bytes;
    this.#scanner.feed(bytes);
    this.#base += bytes.length;
    this.#before = Buffer.concat([this.#before, bytes.subarray(-idLimit)]).subarray(-idLimit);
  }

  #take({ start, end }: Span): void {
    const from = start - this.#base;
    const now = this.#bytes.subarray(Math.max(from, 0), end - this.#base);
    const text = from < 0 ? Buffer.concat([this.#before.subarray(from), now]) : Buffer.from(now);
    const value: unknown = JSON.parse(text.toString('utf8'));
    if (typeof value === 'string' || typeof value === 'number') this.#id = value;
  }
}
