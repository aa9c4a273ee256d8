// The garbage of large sources. One of 150 KB leaves as much behind in small objects, for the pieces of its tree. Where it is
// decoded, as one of a file is, it is also a string of its length three times on its way to a driver, and a buffer twice: V8
// keeps such strings until its young generation is full, and lets that grow to 32 MB of them, with as much in buffers that
// nobody else frees. So all of it is collected when a few have passed, while the driver is at work: 1 ms for a dozen at the
// most, and in all no more processor time.

/** Smaller sources are collected with everything else. */
const large = 64 * 1024;

/** Bytes of large sources after which they are collected. */
const most = 2 * 1024 * 1024;

export class LargeSources {
  readonly #collect: () => void;
  #bytes = 0;

  constructor(collect: () => void = collectYoungGarbage) {
    this.#collect = collect;
  }

  /** A source has come that is about to be handed to a driver. */
  count(bytes: number): void {
    if (bytes < large) return;
    this.#bytes += bytes;
    if (this.#bytes < most) return;
    this.#bytes = 0;
    // When what has come in this turn is on its way.
    setImmediate(this.#collect);
  }
}

let collect: ((options: { type: 'minor' }) => void) | undefined;

/** Collects V8's young generation, in one step. */
export function collectYoungGarbage(): void {
  if (collect === undefined) {
    // V8 gives its collector to contexts that are made while this flag is set, and to no others.
    const { setFlagsFromString } = process.getBuiltinModule('node:v8');
    setFlagsFromString('--expose-gc');
    collect = process.getBuiltinModule('node:vm').runInNewContext('gc') as (options: { type: 'minor' }) => void;
    setFlagsFromString('--no-expose-gc');
  }
  collect({ type: 'minor' });
}
