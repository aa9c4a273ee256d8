// Pieces of memory for what is read in bulk, used again and again. To allocate and to free them costs as much as to fill
// them: new memory is cold, the kernel must give it page by page, and the collector counts every byte of it.

/** The length of every piece. */
export const pieceBytes = 64 * 1024;

/** As many lie idle at most: what a large answer consists of. */
const mostIdle = 128;

/** What the idle pieces hold at most, in bytes. */
export const mostIdleBytes = mostIdle * pieceBytes;

const idle: ArrayBuffer[] = [];

/** A piece whose content is undefined. Who has it need not give it back: the collector takes it then. */
export function takePiece(): Buffer {
  const memory = idle.pop();
  return memory === undefined ? Buffer.allocUnsafeSlow(pieceBytes) : Buffer.from(memory);
}

/** A copy of `bytes`, which are no more than a piece holds, in memory that is nobody else's. */
export function copyToPiece(bytes: Uint8Array): Buffer {
  const piece = bytes.length === pieceBytes ? takePiece() : Buffer.allocUnsafeSlow(bytes.length);
  piece.set(bytes);
  return piece;
}

/** Smaller memory is not worth the call that frees it. */
const worthFreeing = 4096;

/** Memory that can be given back, where it is worth that: what Node cuts out of a common buffer, up to 32 KB, cannot. */
export function takeMemory(length: number): Buffer {
  return length < worthFreeing ? Buffer.allocUnsafe(length) : Buffer.allocUnsafeSlow(length);
}

/** The whole memory that a view lies in; undefined where others may have a part of it, or where it is too small to matter. */
export function ownMemory({ buffer, byteLength }: Uint8Array): ArrayBuffer | undefined {
  // A view of a part of something larger is not ours alone: Node cuts small buffers out of common ones.
  if (byteLength < worthFreeing || byteLength !== buffer.byteLength || !(buffer instanceof ArrayBuffer))
    return undefined;
  return buffer;
}

/**
 * Gives a view's memory back that nobody needs any more, where it is the view's alone. Every view of it that is left has no
 * bytes from now on: none can show what others will read into it.
 */
export function giveBack(view: Uint8Array): void {
  const memory = ownMemory(view);
  if (memory === undefined) return;
  if (memory.byteLength === pieceBytes && idle.length < mostIdle) idle.push(memory.transfer());
  else memory.transfer(0);
}
