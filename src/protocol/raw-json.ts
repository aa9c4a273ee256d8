// JSON that travels as the bytes it came in. A native tree is 20 to 30 times its source: it is never decoded on its way
// through the host, but spliced into the message that carries it. Imports nothing.
import { randomUUID } from 'node:crypto';

/** The raw values that the stringification under way has met; undefined where none is under way. */
let met: RawJson[] | undefined;

/**
 * What stands in the text for a raw value until its bytes are put there. Random, so that no content from outside can
 * contain it: a source that held it would have its tree spliced into the wrong place.
 */
const placeholder = `babelhost-raw-${randomUUID()}`;
const quotedPlaceholder = JSON.stringify(placeholder);

/** Valid JSON as UTF-8 bytes, in the pieces that it arrived in. Whoever makes one vouches for its validity. */
export class RawJson {
  readonly chunks: readonly Uint8Array[];

  constructor(chunks: readonly Uint8Array[]) {
    this.chunks = chunks;
  }

  get byteLength(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  }

  /** Decodes the value: for whoever asked for it, never on the way through. */
  decode(): unknown {
    return JSON.parse(Buffer.concat(this.chunks).toString('utf8'));
  }

  /** Called by JSON.stringify: leaves the placeholder that `encodeJson` then replaces. */
  toJSON(): unknown {
    if (met === undefined) return this.decode();
    met.push(this);
    return placeholder;
  }
}

/** The JSON text of `value` as UTF-8 pieces, with every RawJson in it spliced in as it is, uncopied. */
export function encodeJson(value: unknown): Uint8Array[] {
  const outer = met;
  const found: RawJson[] = [];
  met = found;
  let text: string;
  try {
    text = JSON.stringify(value);
  } finally {
    met = outer;
  }
  if (found.length === 0) return [Buffer.from(text, 'utf8')];
  const pieces: Uint8Array[] = [];
  const texts = text.split(quotedPlaceholder);
  for (const [index, part] of texts.entries()) {
    pieces.push(Buffer.from(part, 'utf8'));
    const raw = found[index];
    if (raw !== undefined) pieces.push(...raw.chunks);
  }
  return pieces;
}
