// The memory of this module, all that there is of it: the piece that is looked at, the open containers, and tables.

/** The most levels of nesting that are handled here; below them the scanner goes on by itself. */
export const deepest: i32 = 16384;
export const pieceBytes: i32 = 65536;

/** A byte for each level, 0xff for an object, 0 for an array; a block can go beyond either end before that is noticed. */
export const stack: usize = memory.data(deepest + 192) + 64;
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
/** For each byte: 1 if it may follow a backslash (`u` has its own rule). */
export const escapes: usize = memory.data(256);

function mark(table: usize, characters: string): void {
  for (let index = 0; index < characters.length; index += 1) {
    store<u8>(table + characters.charCodeAt(index), 1);
  }
}
mark(separators, ' ,:[]{}"');
mark(escapes, '"\\/bfnrt');
