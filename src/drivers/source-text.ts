// A source's text, undecoded: the JSON string that a client sent, or that a file's bytes become. A driver is written the
// same bytes, so that a source passes through the host as its tree does. Only what JSON.stringify would have written is
// taken: the driver reads the very bytes that it would read if the host had decoded the text and encoded it.
import { isUtf8 } from 'node:buffer';
import { giveBack } from '../read-pieces.ts';
import { jsonBlocks } from './json-blocks.ts';

export class SourceText {
  /** Of the text, in UTF-8. */
  readonly bytes: number;
  #literal: Buffer;
  /** What the string lies in, where nobody else has anything in it. */
  #memory: Buffer | undefined;
  #text: string | undefined;

  private constructor(literal: Buffer, bytes: number, memory: Buffer | undefined) {
    this.#literal = literal;
    this.bytes = bytes;
    this.#memory = memory;
  }

  /**
   * The string in a message that begins with the quote at `start`; undefined where JSON.stringify would have written it
   * otherwise, and where it is none.
   * @param memory what the message lies in, where nobody else has anything in it: it is given back when the string has been
   * copied
   */
  static in(message: Buffer, start: number, memory?: Buffer): SourceText | undefined {
    const blocks = jsonBlocks();
    const end = blocks.textEnd(message, start + 1);
    if (end < 0) return undefined;
    const literal = message.subarray(start, end + 1);
    if (!isUtf8(literal)) return undefined;
    return new SourceText(literal, literal.length - 2 - blocks.spare, memory);
  }

  /** @param text valid UTF-8 */
  static of(text: Uint8Array): SourceText {
    const literal = jsonBlocks().quote(text);
    return new SourceText(literal, text.length, Buffer.from(literal.buffer));
  }

  /** Of the string as JSON, with its quotes, in bytes. */
  get length(): number {
    return this.#literal.length;
  }

  /** Decodes it: for whoever must look into the text. */
  get text(): string {
    return (this.#text ??= JSON.parse(this.#literal.toString('utf8')) as string);
  }

  /**
   * Copies the string, with its quotes, to where it lies from then on.
   * @returns the offset behind it
   */
  moveTo(line: Buffer, offset: number): number {
    this.#literal.copy(line, offset);
    const end = offset + this.#literal.length;
    this.#literal = line.subarray(offset, end);
    if (this.#memory !== undefined) giveBack(this.#memory);
    this.#memory = undefined;
    return end;
  }
}
