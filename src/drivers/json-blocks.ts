// The fast way of the scanner of answers: native/json-blocks, compiled to WebAssembly. One instance serves the process:
// nothing is kept in it between calls, and a call is never interrupted.
import { readFileSync } from 'node:fs';
import { BabelhostError } from '../errors.ts';
import { jsonBlocksPath } from '../native.ts';
import { onFirstUse } from '../on-first-use.ts';

/** What goes before a byte; native/json-blocks has the same numbers. */
export const beforeValue = 1;
export const beforeName = 2;
export const afterName = 4;
export const afterValue = 8;
/** With beforeValue or beforeName: a bracket was opened, and may be closed at once. */
export const afterOpening = 16;
export const inString = 32;
/** With inString: the string is a member's name. */
export const inName = 64;

/** How the stack of open containers marks each. */
export const objectMark = 0xff;
export const arrayMark = 0;

const quote = 0x22;

/** A block has this many bytes; fewer are not looked at. */
export const blockBytes = 64;

/** What is used of it here: its types come with a browser's, which Node's code should not see. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly pieceAddress: { readonly value: number };
  readonly pieceLength: { readonly value: number };
  readonly stackAddress: { readonly value: number };
  readonly stackLength: { readonly value: number };
  readonly state: { readonly value: number };
  readonly depth: { readonly value: number };
  readonly spare: { readonly value: number };
  scan(from: number, length: number, before: number, levels: number, floor: number, limit: number): number;
  textEnd(length: number): number;
  readonly quoteAddress: { readonly value: number };
  readonly quoteBytes: { readonly value: number };
  quote(length: number): number;
}

export class JsonBlocks {
  readonly #exports: Exports;
  /** Holds bytes from `pieceLength` at most of a chunk. */
  readonly #piece: Uint8Array;
  /** The kinds of the open containers, the outermost first. */
  readonly #stack: Uint8Array;
  /** The end of the piece, where text lies that is to become a string. */
  readonly #text: Uint8Array;
  /** What goes before the byte at which the last call stopped. */
  state = 0;
  /** How many containers are open there. */
  depth = 0;
  /** After `textEnd`. */
  spare = 0;
  /** Offset in the chunk of the piece's first byte; -1 where there is no piece of the chunk under way. */
  #pieceStart = -1;
  #pieceEnd = 0;

  /** @throws BabelhostError `runtimeMissing` where the module has not been built */
  constructor() {
    const path = jsonBlocksPath();
    let module: object;
    try {
      module = new WebAssembly.Module(readFileSync(path));
    } catch (error) {
      throw new BabelhostError(
        'runtimeMissing',
        `The module that checks drivers' answers cannot be loaded from ${path}: run 'npm run build' in babelhost's folder.`,
        { program: 'json-blocks', path, mend: 'npm run build' },
        { cause: error },
      );
    }
    this.#exports = new WebAssembly.Instance(module).exports as Exports;
    const { memory, pieceAddress, pieceLength, stackAddress, stackLength, quoteAddress, quoteBytes } = this.#exports;
    this.#piece = new Uint8Array(memory.buffer, pieceAddress.value, pieceLength.value);
    this.#text = new Uint8Array(memory.buffer, quoteAddress.value, quoteBytes.value);
    // Level 0 is outside of everything, and has no kind.
    this.#stack = new Uint8Array(memory.buffer, stackAddress.value + 1, stackLength.value);
  }

  /** Forgets the chunk before: the next call is about another. */
  begin(): void {
    this.#pieceStart = -1;
  }

  /**
   * Scans blocks of a chunk, within a value at `floor` levels or more.
   * @param index where to begin
   * @param before what goes before that byte
   * @param stack the kinds of the open containers; those that are open at the end are written to it
   * @returns where it stopped, having found no fault; `state` and `depth` are then set
   */
  scan(
    chunk: Uint8Array,
    index: number,
    before: number,
    stack: Uint8Array,
    depth: number,
    depthLimit: number,
    floor = 2,
  ): number {
    const limit = Math.min(depthLimit, this.#stack.length, stack.length);
    this.state = before;
    this.depth = depth;
    if (depth > limit) return index;
    // A word or number that the end of a piece cuts is not taken: the next piece begins before it.
    const left = this.#pieceEnd - index;
    if (this.#pieceStart < 0 || (left < 2 * blockBytes && left < chunk.length - index)) {
      this.#pieceStart = index;
      this.#pieceEnd = Math.min(index + this.#piece.length, chunk.length);
      this.#piece.set(chunk.subarray(index, this.#pieceEnd));
    }
    copy(stack, this.#stack, depth);
    const start = this.#pieceStart;
    const end = this.#exports.scan(index - start, this.#pieceEnd - start, before, depth, floor, limit);
    this.state = this.#exports.state.value;
    this.depth = this.#exports.depth.value;
    copy(this.#stack, stack, this.depth);
    return start + end;
  }

  /**
   * Goes over the rest of a string, for as long as it is written as JSON.stringify writes strings. `spare` then tells how
   * many bytes more its escapes have than the text that they stand for. Whether it is UTF-8 is not looked at.
   * @returns where its closing quote stands; -1 where it has none, or is written otherwise
   */
  textEnd(chunk: Uint8Array, index: number): number {
    this.begin();
    this.spare = 0;
    for (let at = index; at < chunk.length;) {
      const end = Math.min(at + this.#piece.length, chunk.length);
      this.#piece.set(chunk.subarray(at, end));
      const stopped = at + this.#exports.textEnd(end - at);
      this.spare += this.#exports.spare.value;
      if (chunk[stopped] === quote) return stopped;
      // An escape that the end of a piece cuts is looked at again.
      if (stopped === at) return -1;
      at = stopped;
    }
    return -1;
  }

  /**
   * The JSON string of a text, as JSON.stringify writes it.
   * @param text in UTF-8, which is not looked at
   * @returns a view of memory that is nobody else's
   */
  quote(text: Uint8Array): Buffer {
    this.begin();
    // A source has a line end, which takes two bytes, for every 30 bytes or so.
    let string = Buffer.allocUnsafeSlow(text.length + (text.length >> 3) + 16);
    let length = 0;
    string[length++] = quote;
    for (let at = 0; at < text.length;) {
      const part = text.subarray(at, at + this.#text.length);
      this.#text.set(part);
      at += part.length;
      const count = this.#exports.quote(part.length);
      if (length + count + 1 > string.length) {
        const larger = Buffer.allocUnsafeSlow((length + count + 1 + text.length - at) * 2);
        string.copy(larger, 0, 0, length);
        string = larger;
      }
      string.set(this.#piece.subarray(0, count), length);
      length += count;
    }
    string[length++] = quote;
    return string.subarray(0, length);
  }
}

/** The one that answers and sources are checked with. */
export const jsonBlocks = onFirstUse(() => new JsonBlocks());

/** For the few bytes that there mostly are, quicker than a view and `set`. */
function copy(from: Uint8Array, to: Uint8Array, length: number): void {
  if (length > 64) to.set(from.subarray(0, length));
  else for (let index = 0; index < length; index += 1) to[index] = from[index] as number; // index < length
}
