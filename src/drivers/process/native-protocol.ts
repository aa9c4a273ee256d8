// The native protocol: a line of JSON in, a line of JSON out (docs/writing-a-driver.md). Encodes requests, and checks answers
// and takes them apart without decoding the tree.
import { isUtf8 } from 'node:buffer';
import { BabelhostError } from '../../base/errors.ts';
import { packageFile } from '../../base/package.ts';
import { freeMemory } from '../../base/memory.ts';
import { JsonLineScanner, type Span } from '../../json/scanner.ts';
import { hintFeatures, type Manifest } from '../installed/manifest.ts';

export type Encoding = 'utf8' | 'base64';

export interface NativeRequest {
  readonly content: string;
  readonly encoding: Encoding;
  readonly filename?: string | undefined;
}

/** An error in a source. Babelfish's drivers send strings, newer ones objects with a position. */
export interface SourceError {
  readonly message: string;
  readonly [detail: string]: unknown;
}

/** A driver's answer. `ast` is valid JSON in UTF-8, in the pieces in which it came; 'null' where there is no tree. */
export interface NativeAnswer {
  readonly status: 'ok' | 'error' | 'fatal';
  readonly errors: readonly SourceError[];
  readonly ast: readonly Uint8Array[];
  /** What `ast` lies in. */
  readonly memory: AnswerMemory;
}

/** The pieces of an answer, freed once by the only one who has it. */
export class AnswerMemory {
  readonly #pieces: Buffer[];

  constructor(pieces: Buffer[]) {
    this.#pieces = pieces;
  }

  /** Nothing may read the answer afterwards. */
  free(): void {
    freeMemory(this.#pieces.splice(0));
  }

  /** Several have the answer: its memory is left to the collector. */
  share(): void {
    this.#pieces.length = 0;
  }
}

export interface AnswerLimits {
  /** The longest answer, in bytes. */
  readonly responseBytes: number;
  /** The deepest nesting of an answer. */
  readonly responseDepth: number;
}

/** The longest member besides the tree, in bytes: these are decoded. */
const envelopeBytes = 16 * 1024 * 1024;

const nullBytes = Buffer.from('null');
const nothing = Buffer.alloc(0);

/**
 * The line to write to a driver for a request. Hints go only to drivers whose manifest says that they take them.
 * @param language the one asked for, which may be an alias of the driver's own
 */
export function encodeRequest({ content, encoding, filename }: NativeRequest, language: string, to: Manifest): Buffer {
  const { features } = to;
  const request = {
    content,
    encoding,
    ...(features.includes(hintFeatures.language) && { language }),
    ...(features.includes(hintFeatures.filename) && { filename }),
  };
  return Buffer.from(`${JSON.stringify(request)}\n`);
}

/** The line of a request with an id, for a driver that returns it. */
export function withId(line: Buffer, id: string): Buffer {
  const head = `{"id":${JSON.stringify(id)},`;
  const bytes = Buffer.allocUnsafe(head.length + line.length - 1);
  line.copy(bytes, bytes.write(head, 'latin1'), 1);
  return bytes;
}

/** Collects one answer from the pieces of a driver's output. */
export class AnswerReader {
  readonly #limits: AnswerLimits;
  readonly #id: string | undefined;
  readonly #scanner: JsonLineScanner;
  readonly #pieces: Buffer[] = [];
  #length = 0;
  /** The bytes of a character that is cut by the end of a piece, at most three. */
  #partial: Buffer = nothing;

  /** @param id of the request, where the driver returns it */
  constructor(limits: AnswerLimits, id?: string) {
    this.#limits = limits;
    this.#id = id;
    this.#scanner = new JsonLineScanner(limits.responseDepth);
  }

  /**
   * Takes a piece of output, which must not change from then on.
   * @param length how much of it may belong to this answer
   * @returns the answer when it is whole, else undefined
   * @throws BabelhostError `driverProtocol` for what is no answer, `responseTooLarge` over the limit; the reader is then of
   * no more use
   */
  feed(chunk: Buffer, length = chunk.length): NativeAnswer | undefined {
    const own = length === chunk.length ? chunk : chunk.subarray(0, length);
    this.#length += length;
    if (this.#length > this.#limits.responseBytes) {
      throw new BabelhostError(
        'responseTooLarge',
        `The driver's answer is longer than the limit of ${this.#limits.responseBytes} bytes; parse a smaller source or raise the limit (--max-response-bytes).`,
        { limitBytes: this.#limits.responseBytes },
      );
    }
    if (!this.#isUtf8(own)) throw protocolError('its answer is not UTF-8', this.#length);
    this.#pieces.push(own);
    const end = this.#scanner.feed(own);
    const { fault } = this.#scanner;
    if (fault !== undefined) throw protocolError(fault.reason, fault.offset);
    if (end < 0) return undefined;
    if (end < length) throw protocolError('it wrote more than one line', this.#length - length + end);
    if (this.#partial.length > 0) throw protocolError('its answer is not UTF-8', this.#length);
    return this.#decodeAnswer();
  }

  /** Whether the output is UTF-8 so far: strings in the tree reach the client as they are. */
  #isUtf8(chunk: Buffer): boolean {
    const joined = this.#partial.length === 0 ? chunk : Buffer.concat([this.#partial, chunk]);
    const whole = joined.length - incompleteTail(joined);
    this.#partial = joined.subarray(whole);
    return isUtf8(joined.subarray(0, whole));
  }

  #decodeAnswer(): NativeAnswer {
    const { members } = this.#scanner;
    if (this.#id !== undefined && this.#decode(members.get('id')) !== this.#id) {
      throw protocolError('its answer does not have the id of the request', 0);
    }
    const status = this.#decode(members.get('status'));
    const errors = this.#decode(members.get('errors'));
    const ast = members.get('ast');
    const known = typeof status === 'string' ? status.toLowerCase() : undefined;
    if (known !== 'ok' && known !== 'error' && known !== 'fatal') {
      throw protocolError('its answer has no status of "ok", "error" or "fatal"', 0);
    }
    const tree = ast === undefined ? [nullBytes] : this.#slice(ast);
    return { status: known, errors: decodeErrors(errors), ast: tree, memory: new AnswerMemory(this.#pieces) };
  }

  #decode(span: Span | undefined): unknown {
    if (span === undefined) return undefined;
    if (span.end - span.start > envelopeBytes) {
      throw protocolError(`a member besides the tree is longer than ${envelopeBytes} bytes`, span.start);
    }
    const pieces = this.#slice(span);
    return JSON.parse((pieces.length === 1 ? (pieces[0] ?? nothing) : Buffer.concat(pieces)).toString('utf8'));
  }

  /** The pieces of a span, uncopied. */
  #slice({ start, end }: Span): Buffer[] {
    const pieces: Buffer[] = [];
    let position = 0;
    for (const chunk of this.#pieces) {
      const from = Math.max(start - position, 0);
      const to = Math.min(end - position, chunk.length);
      if (from < to) pieces.push(chunk.subarray(from, to));
      position += chunk.length;
    }
    return pieces;
  }
}

/** The length of an incomplete UTF-8 character at the end of `bytes` (RFC 3629, section 3). */
function incompleteTail(bytes: Buffer): number {
  for (let back = 1; back <= 3 && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte >= 0xc0) {
      const needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return needed > back ? back : 0;
    }
    if (byte < 0x80) return 0;
  }
  return 0;
}

function decodeErrors(errors: unknown): SourceError[] {
  if (errors === undefined || errors === null) return [];
  if (!Array.isArray(errors)) throw protocolError('its "errors" is not a list', 0);
  return errors.map((error: unknown) => {
    if (typeof error === 'string') return { message: error };
    if (typeof error === 'object' && error !== null && 'message' in error && typeof error.message === 'string') {
      return error as SourceError;
    }
    throw protocolError('one of its "errors" is neither a string nor an object with a message', 0);
  });
}

/** The error of a driver that writes without a request. */
export function unsolicitedError(): BabelhostError {
  return new BabelhostError(
    'driverProtocol',
    'The driver wrote an answer that nothing had been asked for; it was ended.',
    { reason: 'unsolicited output', offset: 0 },
  );
}

function protocolError(reason: string, offset: number): BabelhostError {
  return new BabelhostError(
    'driverProtocol',
    `The driver does not speak the native protocol: ${reason} (byte ${offset} of its answer). It was ended; see ${packageFile('docs/writing-a-driver.md')}.`,
    { reason, offset },
  );
}
