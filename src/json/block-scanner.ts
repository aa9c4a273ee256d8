// Loads native/json-blocks, the scanner in WebAssembly. One instance serves the process: what it knows of one text makes
// room for what it knows of the next.
import { readFileSync } from 'node:fs';
import { BabelhostError } from '../base/errors.ts';
import { jsonBlocksPath } from '../base/native.ts';
import { lazy } from '../base/lazy.ts';

/** What it stops at, but for faults, which begin with `firstFault`; native/json-blocks has the same numbers. */
export const stops = { pieceEnd: 0, memberName: 1, memberEnd: 2, lineEnd: 3, firstFault: 224 } as const;

/** Its context has numbers, a name and a stack, at these offsets; native/json-blocks has the same. */
const nameOffset = 32;
const stackOffset = 96;

/** The context of a text that has not begun: a value is expected. */
const beginning = Uint8Array.of(1, ...new Uint8Array(stackOffset));

/** What is used of it here: its types come with a browser's, which Node's code should not see. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly pieceAddress: { readonly value: number };
  readonly pieceLength: { readonly value: number };
  readonly contextAddress: { readonly value: number };
  /** Goes on over the piece; members are told of in objects down to `memberDepth`. Returns where it stopped. */
  scan(from: number, length: number, memberDepth: number, depthLimit: number, line: boolean): number;
  /** Has the value that comes next behind it. */
  stepOver(): void;
}

/** A text that is scanned. */
export class Scan {
  context = beginning;
}

export class BlockScanner {
  readonly exports: Exports;
  readonly #context: number;
  #memory = Buffer.alloc(0);
  #scan = new Scan();

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
    this.exports = new WebAssembly.Instance(module).exports as Exports;
    this.#context = this.exports.contextAddress.value;
  }

  get memory(): Buffer {
    // Memory that has grown is another.
    if (this.#memory.length === 0) this.#memory = Buffer.from(this.exports.memory.buffer);
    return this.#memory;
  }

  /** Has the exports go on with a text. */
  resume(scan: Scan): void {
    if (scan === this.#scan) return;
    const end = this.#context + stackOffset + this.depth + 1;
    this.#scan.context = new Uint8Array(this.memory.subarray(this.#context, end));
    this.memory.set(scan.context, this.#context);
    this.#scan = scan;
  }

  get depth(): number {
    return this.memory.readInt32LE(this.#context + 4);
  }

  get stop(): number {
    return this.memory.readInt32LE(this.#context + 8);
  }

  /** The name at which it stopped, as it is written, cut to 64 bytes. */
  get name(): string {
    const start = this.#context + nameOffset;
    return this.memory.toString('utf8', start, start + this.memory.readInt32LE(this.#context + 12));
  }

  /** Where in the piece the value of a told member began since the last stop, or -1. */
  get valueStart(): number {
    return this.memory.readInt32LE(this.#context + 16);
  }
}

/** The one that everything is scanned with. */
export const blockScanner = lazy(() => new BlockScanner());
