// The fast way of the scanner of answers: native/json-blocks, compiled to WebAssembly. One instance serves the process:
// nothing is kept in it between calls, and a call is never interrupted.
import { readFileSync } from 'node:fs';
import { BabelhostError } from '../base/errors.ts';
import { jsonBlocksPath } from '../base/native.ts';
import { onFirstUse } from '../base/lazy.ts';

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
  scan(from: number, length: number, before: number, levels: number, floor: number, limit: number): number;
}

export class JsonBlocks {
  readonly #exports: Exports;
  /** Holds bytes from `pieceLength` at most of a chunk. */
  readonly #piece: Uint8Array;
  /** The kinds of the open containers, the outermost first. */
  readonly #stack: Uint8Array;
  /** What goes before the byte at which the last call stopped. */
  state = 0;
  /** How many containers are open there. */
  depth = 0;
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
    const { memory, pieceAddress, pieceLength, stackAddress, stackLength } = this.#exports;
    this.#piece = new Uint8Array(memory.buffer, pieceAddress.value, pieceLength.value);
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
}

/** The one that answers are checked with. */
export const jsonBlocks = onFirstUse(() => new JsonBlocks());

/** For the few bytes that there mostly are, quicker than a view and `set`. */
function copy(from: Uint8Array, to: Uint8Array, length: number): void {
  if (length > 64) to.set(from.subarray(0, length));
  else for (let index = 0; index < length; index += 1) to[index] = from[index] as number; // index < length
}
