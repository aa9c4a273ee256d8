// The memory that a client received a message in. The collector frees a buffer long after it was last needed, and what lies
// about unfreed makes it run: a client of large trees spent more time in it than on the trees.

/** Smaller pieces are not worth the call. */
const worthFreeing = 4096;

/** Gives the memory of a buffer back at once. Nobody else may have it: whoever reads it afterwards finds it empty. */
export function giveBack({ buffer, byteLength }: Uint8Array): void {
  // A view of a part of something larger is not ours alone: Node cuts small buffers out of common ones.
  if (byteLength < worthFreeing || byteLength !== buffer.byteLength || !(buffer instanceof ArrayBuffer)) return;
  buffer.transfer(0);
}
