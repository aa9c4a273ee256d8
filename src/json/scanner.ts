// Walks over JSON as it arrives and tells where members lie, without decoding any of it. native/json-blocks does the work.
//
// A driver's answer is spliced into the response to a client, so it must be one JSON value and nothing more: bytes that
// closed the response early could forge another answer, and bytes that are no JSON would cost the client its own. Hence the
// whole grammar of RFC 8259 is checked, not only the balance of the brackets.
import { lazy } from '../base/lazy.ts';
import { readJsonBlocks } from '../base/native.ts';

/** A stretch of a text, as offsets from its first byte. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Why a text is refused. `offset` counts bytes from its start. */
export interface ScanFault {
  readonly reason: string;
  readonly offset: number;
}

export interface ScanOptions {
  readonly depthLimit: number;
  /** Whether a newline ends the text; else it is a space. */
  readonly line?: boolean;
  /**
   * Called when a member's name has ended, `end` being behind its quote. The outermost object has depth 1. May refuse the
   * member, or return that its value ends before `valueEnd`, within the bytes that are fed: it is then skipped unchecked.
   */
  readonly onName?: (name: string, depth: number, end: number) => { refuse: string } | { valueEnd: number } | undefined;
  /** Called when a member's value has ended, unless it was skipped. */
  readonly onMember: (name: string, depth: number, span: Span) => void;
}

/** Where the module stops, with the numbers of native/json-blocks; faults are numbered from `firstFault` on. */
const stops = { memberName: 1, memberEnd: 2, lineEnd: 3, firstFault: 224 } as const;

/** In the order of the faults in native/json-blocks/grammar.ts, of which the last is too many levels. */
const reasons = [
  'a value is missing',
  'a name is missing',
  'a colon is missing',
  'a comma or a closing bracket is missing',
  'a control character in a string',
  'an unknown escape in a string',
  'an escape without four hexadecimal digits',
  'an unknown word',
  'a malformed number',
  'more follows the answer on its line',
  'an empty line',
];

/** Beyond this, the module's addresses would overflow. */
const deepest = 2 ** 30;

export class JsonScanner {
  /** Members are reported in objects down to this depth; it may be changed between calls. */
  memberDepth = 1;
  readonly #options: ScanOptions;
  readonly #depthLimit: number;
  /** Loaded with the first scanner, not with the first text: meanwhile the driver still starts. */
  readonly #module = scannerModule();
  /** What the module knows of this text while it scans another. */
  readonly #saved = { context: beginning };
  #position = 0;
  /** Of the last name that was reported. */
  #depth = 0;
  /** By depth: the current member, and where its value begins. */
  readonly #names: string[] = [];
  readonly #starts: number[] = [];
  #fault: ScanFault | undefined;

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#depthLimit = Math.min(options.depthLimit, deepest);
  }

  /** The first fault, after which nothing more is scanned. */
  get fault(): ScanFault | undefined {
    return this.#fault;
  }

  /**
   * Scans the next bytes of the text.
   * @returns the index behind the newline that ends the text, or -1 where it goes on or has a fault
   */
  feed(bytes: Uint8Array): number {
    if (this.#fault !== undefined) return -1;
    const { line = false, onName, onMember } = this.#options;
    const { exports } = this.#module;
    this.#module.resume(this.#saved);
    const base = this.#position;
    this.#position += bytes.length;
    let pieceStart = 0;
    let pieceEnd = 0;
    for (let at = 0; at < bytes.length;) {
      if (at >= pieceEnd) {
        pieceStart = at;
        pieceEnd = Math.min(at + exports.pieceLength.value, bytes.length);
        this.#module.memory.set(bytes.subarray(at, pieceEnd), exports.pieceAddress.value);
      }
      const length = pieceEnd - pieceStart;
      at = pieceStart + exports.scan(at - pieceStart, length, this.memberDepth, this.#depthLimit, line);
      const { stop, depth, valueStart } = this.#module;
      if (valueStart >= 0) this.#starts[this.#depth] = base + pieceStart + valueStart;
      if (stop === stops.memberName) {
        const { name } = this.#module;
        this.#depth = depth;
        this.#names[depth] = name;
        const verdict = onName?.(name, depth, base + at);
        if (verdict === undefined) continue;
        if ('refuse' in verdict) return this.#fail(verdict.refuse, base + at - 1);
        exports.stepOver();
        at = verdict.valueEnd - base;
      } else if (stop === stops.memberEnd) {
        onMember(this.#names[depth] ?? '', depth, { start: this.#starts[depth] ?? 0, end: base + at });
      } else if (stop === stops.lineEnd) {
        return at;
      } else if (stop >= stops.firstFault) {
        const reason = reasons[stop - stops.firstFault] ?? `more than ${this.#depthLimit} levels of nesting`;
        return this.#fail(reason, base + at);
      }
    }
    return -1;
  }

  #fail(reason: string, offset: number): -1 {
    this.#fault = { reason, offset };
    return -1;
  }
}

/** Scans a driver's answer: a line that holds one JSON value, whose outermost members are looked up by their names. */
export class JsonLineScanner extends JsonScanner {
  /** The outermost object's members, by name. */
  readonly members: ReadonlyMap<string, Span>;

  constructor(depthLimit: number) {
    const members = new Map<string, Span>();
    super({
      depthLimit,
      line: true,
      // Decoders differ in which of two members of one name they take. The reason leaves the name out: it is logged, and
      // the name may be anything, such as the source's text.
      onName: (name) => (members.has(name) ? { refuse: 'a member twice' } : undefined),
      onMember: (name, _depth, span) => members.set(name, span),
    });
    this.members = members;
  }
}

/** The module's context has numbers, a name and a stack, at these offsets; native/json-blocks has the same. */
const nameOffset = 32;
const stackOffset = 96;

/** The context of a text that has not begun: a value is expected. */
const beginning = Uint8Array.of(1, ...new Uint8Array(stackOffset));

/** The part used here of a type that only a browser's library declares. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly pieceAddress: { readonly value: number };
  readonly pieceLength: { readonly value: number };
  readonly contextAddress: { readonly value: number };
  /** Scans the piece, reporting members in objects down to `memberDepth`. Returns where it stopped. */
  scan(from: number, length: number, memberDepth: number, depthLimit: number, line: boolean): number;
  /** Skips the value that comes next. */
  stepOver(): void;
}

/** native/json-blocks. It scans one text at a time: the context of the others is kept outside. */
class ScannerModule {
  readonly exports: Exports;
  readonly #context: number;
  #memory = Buffer.alloc(0);
  #current = { context: beginning };

  /** @throws BabelhostError `runtimeMissing`, `digestMismatch` */
  constructor() {
    const module = new WebAssembly.Module(readJsonBlocks());
    this.exports = new WebAssembly.Instance(module).exports as Exports;
    this.#context = this.exports.contextAddress.value;
  }

  get memory(): Buffer {
    // When the memory grows, the old buffer is detached and its length becomes 0.
    if (this.#memory.length === 0) this.#memory = Buffer.from(this.exports.memory.buffer);
    return this.#memory;
  }

  /** Puts the context of a text into the module, and that of the current one back to its owner. */
  resume(text: { context: Uint8Array<ArrayBuffer> }): void {
    if (text === this.#current) return;
    const end = this.#context + stackOffset + this.depth + 1;
    this.#current.context = new Uint8Array(this.memory.subarray(this.#context, end));
    this.memory.set(text.context, this.#context);
    this.#current = text;
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

  /** Where in the piece the value of a reported member began since the last stop, or -1. */
  get valueStart(): number {
    return this.memory.readInt32LE(this.#context + 16);
  }
}

const scannerModule = lazy(() => new ScannerModule());
