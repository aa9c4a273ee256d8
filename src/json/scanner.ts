// Checks a driver's answer as it arrives and finds where the members of its envelope lie, without decoding the tree.
//
// An answer is spliced into the response to a client, so it must be one JSON value and nothing more: bytes that closed
// the response early could forge another answer, and bytes that are no JSON would cost the client its own. Hence the
// whole grammar of RFC 8259 is checked, not only the balance of the brackets.
//
// The envelope, the ends of chunks and whatever is odd go byte by byte, here. Within the tree, most bytes go in blocks,
// ten times as fast (block-scanner.ts), which takes only what is beyond doubt: what is wrong, and where, is found here.
import {
  afterName,
  afterOpening,
  afterValue as afterValueMark,
  arrayMark,
  beforeName,
  beforeValue,
  blockBytes,
  inName,
  inString as inStringMark,
  jsonBlocks,
  objectMark,
} from './block-scanner.ts';

/** A stretch of the answer, as offsets from its first byte. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Why a line is not an answer. `offset` counts bytes from the line's start. */
export interface ScanFault {
  readonly reason: string;
  readonly offset: number;
}

// What is expected next.
const value = 0;
const firstValueOrEnd = 1; // after [
const firstNameOrEnd = 2; // after {
const name = 3; // after , in an object
const colon = 4;
const afterValue = 5;
const inString = 6;
const escape = 7;
const hexadecimal = 8;
const literal = 9;
const numberMinus = 10;
const numberZero = 11;
const numberInteger = 12;
const numberPoint = 13;
const numberFraction = 14;
const numberE = 15;
const numberSign = 16;
const numberExponent = 17;
const done = 18;

const literals: Readonly<Record<number, Uint8Array>> = {
  0x74: Buffer.from('true'),
  0x66: Buffer.from('false'),
  0x6e: Buffer.from('null'),
};

/** 1 for bytes that end the fast way through a string: the quote, the backslash, and control characters. */
const stringStops = new Uint8Array(256);
stringStops.fill(1, 0, 0x20);
stringStops[0x22] = 1;
stringStops[0x5c] = 1;

const newline = 0x0a;

export class JsonScanner {
  readonly #depthLimit: number;
  /** Made with the first scanner, and not with the first answer: until then its driver still starts. */
  readonly #blocks = jsonBlocks();
  #state = value;
  #stack = new Uint8Array(256);
  #depth = 0;
  #position = 0;
  /** What the string under way is: a member's name or a value. */
  #stringIsName = false;
  #left = 0;
  #literal: Uint8Array = Buffer.alloc(0);
  #literalIndex = 0;
  /** Where the value of the member under way begins, and its name. */
  #start = 0;
  #nameStart = 0;
  /** Members of the outermost object, by name. */
  readonly #members = new Map<string, Span>();
  #memberName = '';
  #nameBytes: number[] = [];
  #fault: ScanFault | undefined;

  constructor(depthLimit: number) {
    this.#depthLimit = depthLimit;
  }

  /** The first fault met, after which nothing more is looked at. */
  get fault(): ScanFault | undefined {
    return this.#fault;
  }

  /** The outermost object's members, by name. A name that is there twice is a fault. */
  get members(): ReadonlyMap<string, Span> {
    return this.#members;
  }

  /** Whether one whole value has gone by. */
  get complete(): boolean {
    return this.#state === done && this.#fault === undefined;
  }

  /**
   * Scans up to and including the newline that ends the line.
   * @returns the index after the newline, or -1 where the line goes on beyond `bytes`, or stops at a fault (the rest of
   * the line is then of no interest).
   */
  feed(bytes: Uint8Array): number {
    if (this.#fault !== undefined) return -1;
    const base = this.#position;
    const length = bytes.length;
    let state = this.#state;
    let index = 0;
    const blocks = this.#blocks;
    blocks.begin();
    let nextBlocks = 0;
    while (index < length) {
      if (index >= nextBlocks && this.#depth >= 2 && length - index >= blockBytes) {
        const before = beforeOf(state, this.#stringIsName);
        if (before !== 0) {
          // A block is not taken that might open more levels than there is room for.
          if (this.#depth + blockBytes > this.#stack.length) this.#growStack();
          index = blocks.scan(bytes, index, before, this.#stack, this.#depth, this.#depthLimit);
          this.#depth = blocks.depth;
          this.#stringIsName = (blocks.state & inName) !== 0;
          state = stateOf(blocks.state);
          // What it stopped at is for the loop below.
          nextBlocks = index + blockBytes;
          continue;
        }
      }
      if (state === inString) {
        while (index < length && stringStops[bytes[index] as number] === 0) index += 1;
        if (index === length) break;
      }
      const byte = bytes[index] as number; // index < length
      switch (state) {
        case inString:
          if (byte === 0x22) {
            if (this.#stringIsName) {
              if (this.#depth === 1 && !this.#endName(bytes, base, index)) return -1;
              state = colon;
            } else state = this.#endValue(base + index + 1);
          } else if (byte === 0x5c) state = escape;
          else return this.#fail('a control character in a string', base + index);
          break;
        case escape:
          if (byte === 0x75) {
            this.#left = 4;
            state = hexadecimal;
          } else if (byte === 0x22 || byte === 0x5c || byte === 0x2f || isSimpleEscape(byte)) state = inString;
          else return this.#fail('an unknown escape in a string', base + index);
          break;
        case hexadecimal:
          if (!isHexadecimal(byte)) return this.#fail('an escape without four hexadecimal digits', base + index);
          this.#left -= 1;
          if (this.#left === 0) state = inString;
          break;
        case colon:
          if (byte === 0x3a) state = value;
          else if (!isSpace(byte)) return this.#fail('a colon is missing', base + index);
          break;
        case firstNameOrEnd:
        case name:
          if (byte === 0x22) {
            this.#stringIsName = true;
            this.#nameBytes.length = 0;
            if (this.#depth === 1) this.#nameStart = base + index + 1;
            state = inString;
          } else if (byte === 0x7d && state === firstNameOrEnd) state = this.#pop(base + index + 1);
          else if (!isSpace(byte)) return this.#fail('a name is missing', base + index);
          break;
        case afterValue:
          if (byte === 0x2c) state = this.#stack[this.#depth - 1] === objectMark ? name : value;
          else if (byte === 0x7d && this.#stack[this.#depth - 1] === objectMark) state = this.#pop(base + index + 1);
          else if (byte === 0x5d && this.#stack[this.#depth - 1] === arrayMark) state = this.#pop(base + index + 1);
          else if (!isSpace(byte)) return this.#fail('a comma or a closing bracket is missing', base + index);
          break;
        case value:
        case firstValueOrEnd:
          if (byte === 0x22) {
            if (this.#depth === 1) this.#start = base + index;
            this.#stringIsName = false;
            state = inString;
          } else if (byte === 0x7b || byte === 0x5b) {
            if (this.#depth <= 1) this.#start = base + index;
            if (!this.#push(byte === 0x7b ? objectMark : arrayMark)) {
              return this.#fail(`more than ${this.#depthLimit} levels of nesting`, base + index);
            }
            state = byte === 0x7b ? firstNameOrEnd : firstValueOrEnd;
          } else if (byte === 0x5d && state === firstValueOrEnd) state = this.#pop(base + index + 1);
          else if (byte === newline && this.#depth === 0) return this.#fail('an empty line', base + index);
          else if (!isSpace(byte)) {
            if (this.#depth === 1) this.#start = base + index;
            state = this.#beginScalar(byte);
            if (state < 0) return this.#fail('a value is missing', base + index);
          }
          break;
        case literal:
          if (byte !== this.#literal[this.#literalIndex]) return this.#fail('an unknown word', base + index);
          this.#literalIndex += 1;
          if (this.#literalIndex === this.#literal.length) state = this.#endValue(base + index + 1);
          break;
        case done:
          if (byte === newline) {
            this.#state = state;
            this.#position = base + index + 1;
            return index + 1;
          }
          if (!isSpace(byte)) return this.#fail('more follows the answer on its line', base + index);
          break;
        default: {
          const next = nextInNumber(state, byte);
          if (next === numberFault) return this.#fail('a malformed number', base + index);
          if (next === numberEnd) {
            state = this.#endValue(base + index);
            continue; // the byte that ended the number is still to be looked at
          }
          state = next;
        }
      }
      index += 1;
    }
    const withinString = state === inString || state === escape || state === hexadecimal;
    if (withinString && this.#stringIsName && this.#depth === 1) this.#keepName(bytes, base, length);
    this.#state = state;
    this.#position = base + length;
    return -1;
  }

  #beginScalar(byte: number): number {
    const word = literals[byte];
    if (word !== undefined) {
      this.#literal = word;
      this.#literalIndex = 1;
      return literal;
    }
    if (byte === 0x2d) return numberMinus;
    if (byte === 0x30) return numberZero;
    if (byte > 0x30 && byte <= 0x39) return numberInteger;
    return -1;
  }

  #push(mark: number): boolean {
    if (this.#depth >= this.#depthLimit) return false;
    if (this.#depth === this.#stack.length) this.#growStack();
    this.#stack[this.#depth] = mark;
    this.#depth += 1;
    return true;
  }

  #growStack(): void {
    const larger = new Uint8Array(this.#stack.length * 2);
    larger.set(this.#stack);
    this.#stack = larger;
  }

  #pop(end: number): number {
    this.#depth -= 1;
    return this.#endValue(end);
  }

  /** Notes the span of a member of the outermost object. */
  #endValue(end: number): number {
    if (this.#depth === 0) return done;
    if (this.#depth === 1 && this.#stack[0] === objectMark) {
      this.#members.set(this.#memberName, { start: this.#start, end });
    }
    return afterValue;
  }

  #keepName(bytes: Uint8Array, base: number, end: number): void {
    // Names of the envelope are short; what is longer than any of them is cut and so is none of them.
    const from = Math.max(this.#nameStart - base, 0);
    for (let index = from; index < end && this.#nameBytes.length < 64; index += 1) {
      this.#nameBytes.push(bytes[index] as number); // index < end <= length
    }
  }

  #endName(bytes: Uint8Array, base: number, end: number): boolean {
    this.#keepName(bytes, base, end);
    // As the envelope's own names are, in ASCII, a string is made of them at once.
    this.#memberName = this.#nameBytes.every((byte) => byte < 0x80)
      ? String.fromCharCode(...this.#nameBytes)
      : Buffer.from(this.#nameBytes).toString('utf8');
    if (!this.#members.has(this.#memberName)) return true;
    // Two members of one name: decoders differ in which they take, so neither is taken. The name is not told: reasons
    // are logged, and it may be anything, the source's text too.
    this.#fail('a member twice', base + end);
    return false;
  }

  #fail(reason: string, offset: number): -1 {
    this.#fault ??= { reason, offset };
    return -1;
  }
}

/** What block-scanner.ts is to take for going before the next byte; 0 within words, numbers and escapes. */
function beforeOf(state: number, stringIsName: boolean): number {
  switch (state) {
    case value:
      return beforeValue;
    case firstValueOrEnd:
      return beforeValue | afterOpening;
    case firstNameOrEnd:
      return beforeName | afterOpening;
    case name:
      return beforeName;
    case colon:
      return afterName;
    case afterValue:
      return afterValueMark;
    case inString:
      return stringIsName ? inStringMark | inName : inStringMark;
    default:
      return 0;
  }
}

function stateOf(before: number): number {
  if ((before & inStringMark) !== 0) return inString;
  if ((before & beforeValue) !== 0) return (before & afterOpening) === 0 ? value : firstValueOrEnd;
  if ((before & beforeName) !== 0) return (before & afterOpening) === 0 ? name : firstNameOrEnd;
  return (before & afterName) === 0 ? afterValue : colon;
}

const numberFault = -1;
const numberEnd = -2;

/** The state after `byte` within a number (RFC 8259, section 6). */
function nextInNumber(state: number, byte: number): number {
  const digit = byte >= 0x30 && byte <= 0x39;
  switch (state) {
    case numberMinus:
      return byte === 0x30 ? numberZero : digit ? numberInteger : numberFault;
    case numberZero:
    case numberInteger:
      if (digit) return state === numberInteger ? numberInteger : numberFault;
      if (byte === 0x2e) return numberPoint;
      return byte === 0x65 || byte === 0x45 ? numberE : numberEnd;
    case numberPoint:
      return digit ? numberFraction : numberFault;
    case numberFraction:
      if (digit) return numberFraction;
      return byte === 0x65 || byte === 0x45 ? numberE : numberEnd;
    case numberE:
      if (byte === 0x2b || byte === 0x2d) return numberSign;
      return digit ? numberExponent : numberFault;
    case numberSign:
      return digit ? numberExponent : numberFault;
    default:
      return digit ? numberExponent : numberEnd;
  }
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0d;
}

function isSimpleEscape(byte: number): boolean {
  return byte === 0x62 || byte === 0x66 || byte === 0x6e || byte === 0x72 || byte === 0x74;
}

function isHexadecimal(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}
