// The memory of this module, all that there is of it: the piece that is looked at, the open containers, and tables.

export const pieceBytes: i32 = 65536;

/** The bytes to look at, and what a block's loads may reach behind them. */
export const piece: usize = memory.data(pieceBytes + 128, 16);
/** What the brackets of the block under way have overwritten in `stack`, to be put back where the block is not taken. */
export const overwritten: usize = memory.data(64);

/**
 * The bytes that blocks are compared with. They are loaded, since of constants the compiler would make vectors anew at
 * each use, in three instructions.
 */
export const compared: usize = memory.data<u8>([
  0x22, 0x5c, 0x20, 0x7b, 0x7d, 0x3a, 0x2c, 0x30,
  0x7f - 0x39, // moves the digits up to the last numbers that a signed byte holds
  0x7f - 10, // the number before those
]);

/** For each byte: 1 if it can be no part of a number or word. */
export const separators: usize = memory.data(256);
/** For each state of the grammar, what each byte leads to. */
export const table: usize = memory.data(208 * 256);

/**
 * What one scan knows between its pieces, so that another's may take its place: five numbers, a name, and the stack. It lies
 * behind everything else (index.ts sees to that), so that it may grow, at a constant address, which is quicker.
 */
export const context: usize = 0x30000;
/** How many bytes are kept of a name that is told; what is longer is cut. */
export const nameBytes: i32 = 64;
export const nameText: usize = context + 32;
/** A byte for each level, 0xff for an object, 0 for an array; level 0 is outside of everything. */
export const stack: usize = nameText + nameBytes;

/** Where the kind of the deepest level may lie: a block can go 64 beyond that before it is noticed. */
export function stackEnd(): usize {
  return (<usize>memory.size() << 16) - 128;
}

function mark(table: usize, characters: string): void {
  for (let index = 0; index < characters.length; index += 1) {
    store<u8>(table + characters.charCodeAt(index), 1);
  }
}
mark(separators, ' ,:[]{}"');
