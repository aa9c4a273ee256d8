// The memory that an answer came in. The collector frees a buffer long after it was last needed: with trees of megabytes,
// hundreds lie about, each new one is cold, and the collector has to run for them alone. Whoever has an answer to itself
// and has sent it gives its memory back at once; what is not given back is collected as ever.
import { giveBack } from '../read-pieces.ts';

export class AnswerMemory {
  readonly #pieces: Buffer[] = [];
  #views: Uint8Array[] = [];
  #holders = 1;

  /** The pieces, in the order in which they came. */
  get pieces(): readonly Buffer[] {
    return this.#pieces;
  }

  /** @param piece as a stream gave it: nobody else may keep it */
  add(piece: Buffer): void {
    this.#pieces.push(piece);
  }

  /**
   * Views of it, which are taken out of this list when it is free. Whatever of an answer is still reachable then, or only
   * for the collector because it has grown old, keeps none of the hundred objects that a large tree consists of.
   */
  lend(views: Uint8Array[]): readonly Uint8Array[] {
    this.#views = views;
    return views;
  }

  /** So many have the answer: the memory is free when each of them has freed it, and left to the collector else. */
  share(holders: number): void {
    this.#holders = holders;
  }

  /** Called by each holder once. Nothing that lies in the memory may be read by it afterwards, nor by the kernel. */
  free(): void {
    this.#holders -= 1;
    if (this.#holders !== 0) return;
    for (const piece of this.#pieces) giveBack(piece);
    this.#pieces.length = 0;
    this.#views.length = 0;
  }
}
