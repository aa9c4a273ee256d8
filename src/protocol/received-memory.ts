// The memory that a client received a message in. The collector frees a buffer long after it was last needed, and what lies
// about unfreed makes it run: a client of large trees spent more time in it than on the trees.
import { ownMemory } from '../read-pieces.ts';

/** Gives the memory of a buffer back at once. Nobody else may have it: whoever reads it afterwards finds it empty. */
export function giveBack(view: Uint8Array): void {
  // Not to the pool of read-pieces.ts: a client's process reads into none of them.
  ownMemory(view)?.transfer(0);
}
