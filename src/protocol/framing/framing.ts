// What a framing is: how messages lie in a stream of bytes, and what is said of bytes that are none.
import type { ByteQueue } from './byte-queue.ts';

/** LSP's Content-Length headers, or one line of JSON for each message. */
export type FramingName = 'headers' | 'lines';

/** The framing of a connection, or `auto`: that of its first message. */
export type FramingChoice = FramingName | 'auto';

export const framingChoices = ['auto', 'headers', 'lines'] as const satisfies readonly FramingChoice[];

/** Why a frame was refused. `id` is the request's, where one could be found. */
export type FrameFault =
  /** Where the next frame begins is not known: nothing more is read. */
  | { readonly kind: 'header'; readonly message: string }
  /** The stream ended within a frame. */
  | { readonly kind: 'truncated'; readonly message: string }
  | { readonly kind: 'syntax'; readonly message: string; readonly id: null }
  | { readonly kind: 'invalid'; readonly message: string; readonly id: string | number | null }
  | { readonly kind: 'tooLarge'; readonly length: number; readonly limit: number; readonly id: string | number | null };

/** What a framing takes off the front of the bytes: a message's content, or a frame that it refuses. */
export type Found = { readonly content: Buffer } | { readonly fault: FrameFault };

export interface Framing {
  readonly name: FramingName;
  /** What comes next; undefined where more bytes are needed to tell. */
  next(bytes: ByteQueue): Found | undefined;
  /** What is left when no more bytes will come; undefined where that is nothing. */
  last(bytes: ByteQueue): Found | undefined;
}

const byteOrderMark = Buffer.from([0xef, 0xbb, 0xbf]);
const openingBrace = 0x7b;
const openingBracket = 0x5b;
const whitespace = new Set(Buffer.from(' \t\r\n', 'latin1'));

/** Drops a byte order mark, which editors and PowerShell write. @returns false where more bytes are needed to tell */
export function skipByteOrderMark(bytes: ByteQueue): boolean {
  const start = bytes.peek(byteOrderMark.length);
  if (!start.equals(byteOrderMark.subarray(0, start.length))) return true;
  if (start.length < byteOrderMark.length) return false;
  bytes.skip(byteOrderMark.length);
  return true;
}

/** The framing whose messages begin as the bytes do; undefined where more are needed to tell. */
export function detectFraming(bytes: ByteQueue): FramingName | undefined {
  for (;;) {
    const first = bytes.first();
    if (first === undefined) return undefined;
    if (!whitespace.has(first)) return first === openingBrace || first === openingBracket ? 'lines' : 'headers';
    bytes.skip(1);
  }
}
