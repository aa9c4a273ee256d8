// JSON that travels as the bytes it came in. A native tree is 20 to 30 times its source: it is never decoded on its way
// through the host, but spliced into the message that carries it.
import { randomUUID } from 'node:crypto';

/** The raw values in what is being encoded; undefined while nothing is. */
let found: RawJson[] | undefined;

/**
 * Stands for a raw value until its bytes are put there. Random, so that no content from outside can contain it: a source
 * that did would have its tree spliced into the wrong place.
 */
const placeholder = `babelhost-raw-${randomUUID()}`;
const quotedPlaceholder = JSON.stringify(placeholder);

/** Valid JSON as UTF-8 bytes, in the pieces that it arrived in. Whoever makes one vouches for its validity. */
export class RawJson {
  readonly chunks: readonly Uint8Array[];
  readonly #free: (() => void) | undefined;

  /** @param free frees the memory of the chunks */
  constructor(chunks: readonly Uint8Array[], free?: () => void) {
    this.chunks = chunks;
    this.#free = free;
  }

  /** Frees its memory, once the bytes have been written and nothing reads them any more. It is empty afterwards. */
  free(): void {
    this.#free?.();
  }

  get byteLength(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  }

  decode(): unknown {
    return JSON.parse(Buffer.concat(this.chunks).toString('utf8'));
  }

  /** Called by JSON.stringify: leaves the placeholder that `encodeJson` then replaces. */
  toJSON(): unknown {
    if (found === undefined) return this.decode();
    found.push(this);
    return placeholder;
  }
}

/** The JSON text of `value` as UTF-8 pieces, with every RawJson in it (`raw`) spliced in as it is, uncopied. */
export function encodeJson(value: unknown): { readonly pieces: Uint8Array[]; readonly raw: readonly RawJson[] } {
  const raw: RawJson[] = [];
  found = raw;
  try {
    const text = JSON.stringify(value);
    const texts = raw.length === 0 ? [text] : text.split(quotedPlaceholder);
    const pieces = texts.flatMap((part, index) => [Buffer.from(part, 'utf8'), ...(raw[index]?.chunks ?? [])]);
    return { pieces, raw };
  } finally {
    found = undefined;
  }
}
