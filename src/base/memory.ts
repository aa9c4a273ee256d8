// Memory freed before the collector comes to it. Buffers count against V8's heap limit: with the trees of many files left to
// the collector, it walks over the whole heap again and again, and `parse/files` takes a quarter longer.

/** Smaller buffers are not worth the call. Node cuts those up to 32 KB out of shared ones, which are never freed here. */
const worthFreeing = 4096;

/**
 * Frees the memory of buffers. One that covers only a part of its memory is left to the collector. Nobody else may use the
 * memory: every view of it is empty afterwards.
 */
export function freeMemory(buffers: readonly Uint8Array[]): void {
  for (const { buffer, byteLength } of buffers) {
    const coversAll = byteLength === buffer.byteLength && buffer instanceof ArrayBuffer;
    if (coversAll && byteLength >= worthFreeing) buffer.transfer(0);
  }
}
