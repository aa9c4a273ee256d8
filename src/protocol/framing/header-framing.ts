// Frames with a Content-Length header (LSP 3.17, "Base Protocol"), bounded. Their lines may end in LF alone, as scripts
// write them, and empty lines before a frame are passed over.
import { TopLevelIdFinder } from '../message-id.ts';
import type { ByteQueue } from './byte-queue.ts';
import type { Found, Framing } from './framing.ts';

/** No header block needs more than this: two fields are defined, both short. */
const headerLimit = 8 * 1024;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

const advice =
  "A message is JSON behind a header line 'Content-Length: BYTES' (of UTF-8) and an empty line; or one line of JSON, where that is what the first message is.";

type State =
  | { readonly in: 'header' }
  | { readonly in: 'content'; readonly length: number }
  | { readonly in: 'skipped'; readonly length: number; left: number; readonly finder: TopLevelIdFinder };

export class HeaderFraming implements Framing {
  readonly name = 'headers';
  readonly #messageBytes: number;
  #state: State = { in: 'header' };

  /** @param messageBytes the largest message that is accepted */
  constructor(messageBytes: number) {
    this.#messageBytes = messageBytes;
  }

  next(bytes: ByteQueue): Found | undefined {
    if (this.#state.in === 'header') {
      const fault = this.#readHeader(bytes);
      if (fault !== undefined) return fault;
    }
    const state = this.#state;
    if (state.in === 'header') return undefined;
    if (state.in === 'content') {
      if (bytes.length < state.length) return undefined;
      this.#state = { in: 'header' };
      return { content: bytes.take(state.length) };
    }
    const part = bytes.take(Math.min(bytes.length, state.left));
    state.finder.feed(part);
    state.left -= part.length;
    if (state.left > 0) return undefined;
    this.#state = { in: 'header' };
    return { fault: { kind: 'tooLarge', length: state.length, limit: this.#messageBytes, id: state.finder.id } };
  }

  last(bytes: ByteQueue): Found | undefined {
    const state = this.#state;
    if (state.in === 'header') {
      const rest = bytes.peek(headerLimit).toString('latin1');
      if (rest.trim() === '') return undefined;
      return { fault: { kind: 'truncated', message: `The input ended in a header: ${quoted(rest)}. ${advice}` } };
    }
    const read = state.in === 'content' ? bytes.length : state.length - state.left;
    const message = `The input ended after ${read} of the ${state.length} bytes that the header of a message told. ${advice}`;
    return { fault: { kind: 'truncated', message } };
  }

  /** Takes the header block, once it is whole, and notes what the content will be; returns what is wrong with it. */
  #readHeader(bytes: ByteQueue): Found | undefined {
    skipEmptyLines(bytes);
    const block = bytes.peek(headerLimit);
    const { end, next } = findEnd(block);
    if (end < 0) {
      if (block.length < headerLimit) return undefined;
      return { fault: { kind: 'header', message: `A header block of more than ${headerLimit} bytes. ${advice}` } };
    }
    const header = block.toString('latin1', 0, end);
    bytes.skip(next);
    const length = contentLength(header);
    if (length === undefined) {
      const message = `A header without a valid Content-Length: ${quoted(header)}. ${advice}`;
      return { fault: { kind: 'header', message } };
    }
    this.#state =
      length <= this.#messageBytes
        ? { in: 'content', length }
        : { in: 'skipped', length, left: length, finder: new TopLevelIdFinder() };
    return undefined;
  }
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}

function skipEmptyLines(bytes: ByteQueue): void {
  for (;;) {
    const first = bytes.first();
    if (first === lineFeed) bytes.skip(1);
    else if (first === carriageReturn && bytes.peek(2)[1] === lineFeed) bytes.skip(2);
    else return;
  }
}

/** Where the first empty line is, and what follows it; negative where there is none yet. */
function findEnd(block: Buffer): { readonly end: number; readonly next: number } {
  for (let end = block.indexOf(lineFeed); end >= 0; end = block.indexOf(lineFeed, end + 1)) {
    if (block[end + 1] === lineFeed) return { end, next: end + 2 };
    if (block[end + 1] === carriageReturn && block[end + 2] === lineFeed) return { end, next: end + 3 };
  }
  return { end: -1, next: -1 };
}

/** The Content-Length of a header block; undefined where it is missing, repeated with another value, or no number. */
function contentLength(header: string): number | undefined {
  let length: number | undefined;
  for (const line of header.split('\n')) {
    const field = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*(.*?)[ \t]*\r?$/.exec(line);
    if (field === null) return undefined;
    if (field[1]?.toLowerCase() !== 'content-length') continue;
    const value = field[2] ?? '';
    if (!/^\d{1,15}$/.test(value)) return undefined;
    if (length !== undefined && length !== Number(value)) return undefined;
    length = Number(value);
  }
  return length;
}
