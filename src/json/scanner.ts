// Walks over JSON as it arrives and tells where members lie, without decoding any of it.
//
// A driver's answer is spliced into the response to a client, so it must be one JSON value and nothing more: bytes that
// closed the response early could forge another answer, and bytes that are no JSON would cost the client its own. Hence the
// whole grammar of RFC 8259 is checked, not only the balance of the brackets.
import { blockScanner, Scan, stops } from './block-scanner.ts';

/** A stretch of a text, as offsets from its first byte. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Why a text is not taken. `offset` counts bytes from its start. */
export interface ScanFault {
  readonly reason: string;
  readonly offset: number;
}

export interface ScanOptions {
  readonly depthLimit: number;
  /** Whether a newline ends the text; else it is a space. */
  readonly line?: boolean;
  /**
   * Told when a member's name has ended, `end` being behind its quote. The outermost object has depth 1. May refuse the member, or tell that its value ends
   * before `valueEnd`, within the bytes that are fed: it is then not looked at.
   */
  readonly onName?: (name: string, depth: number, end: number) => { refuse: string } | { valueEnd: number } | undefined;
  /** Told when a member's value has ended, if it was looked at. */
  readonly onMember: (name: string, depth: number, span: Span) => void;
}

/** In the order of the faults in native/json-blocks/grammar.ts, of which the last is that there are too many levels. */
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
  /** Members are told of in objects that lie this deep at most; it may be changed in between. */
  memberDepth = 1;
  readonly #options: ScanOptions;
  readonly #depthLimit: number;
  /** Made with the first scanner, and not with the first text: until then a driver still starts. */
  readonly #blocks = blockScanner();
  readonly #scan = new Scan();
  #position = 0;
  /** Of the last name that was told. */
  #depth = 0;
  /** By depth: the member under way, and where its value begins. */
  readonly #names: string[] = [];
  readonly #starts: number[] = [];
  #fault: ScanFault | undefined;

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#depthLimit = Math.min(options.depthLimit, deepest);
  }

  /** The first fault met, after which nothing more is looked at. */
  get fault(): ScanFault | undefined {
    return this.#fault;
  }

  /**
   * Goes on over the next bytes of the text.
   * @returns the index behind the newline that ends the text, or -1 where it goes on, or stops at a fault (the rest is then
   * of no interest)
   */
  feed(bytes: Uint8Array): number {
    if (this.#fault !== undefined) return -1;
    const { line = false, onName, onMember } = this.#options;
    const { exports } = this.#blocks;
    this.#blocks.resume(this.#scan);
    const base = this.#position;
    this.#position += bytes.length;
    let pieceStart = 0;
    let pieceEnd = 0;
    for (let at = 0; at < bytes.length;) {
      if (at >= pieceEnd) {
        pieceStart = at;
        pieceEnd = Math.min(at + exports.pieceLength.value, bytes.length);
        this.#blocks.memory.set(bytes.subarray(at, pieceEnd), exports.pieceAddress.value);
      }
      const length = pieceEnd - pieceStart;
      at = pieceStart + exports.scan(at - pieceStart, length, this.memberDepth, this.#depthLimit, line);
      const { stop, depth, valueStart } = this.#blocks;
      if (valueStart >= 0) this.#starts[this.#depth] = base + pieceStart + valueStart;
      if (stop === stops.memberName) {
        const { name } = this.#blocks;
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
