// Early collection of large sources. V8 keeps strings of more than 128 KB until its young generation is full, and lets that
// grow to 33 MB of them, with as much in buffers: a host came to 166 MB over ten thousand sources of 150 KB.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { lazy } from '../../base/lazy.ts';

/** Smaller sources are collected with everything else, in bytes. */
const large = 64 * 1024;

/** Bytes of large sources after which they are collected. */
const mostBytes = 2 * 1024 * 1024;

export class LargeSources {
  readonly #collect: () => void;
  #bytes = 0;

  constructor(collect: () => void = collectYoungGarbage) {
    this.#collect = collect;
  }

  /** Counts a source that is about to be written to a driver. */
  count(bytes: number): void {
    if (bytes < large) return;
    this.#bytes += bytes;
    if (this.#bytes < mostBytes) return;
    this.#bytes = 0;
    // When what has come in this turn is on its way, and the driver at work.
    setImmediate(this.#collect);
  }
}

const collector = lazy(() => {
  // V8 gives its collector to contexts that are made while this flag is set, and to no others.
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void;
  setFlagsFromString('--no-expose-gc');
  return collect;
});

/** Collects V8's young generation, in one step: about 1 ms. */
export function collectYoungGarbage(): void {
  collector()({ type: 'minor' });
}
