// The fast way through a driver's answer: checks it in blocks of 64 bytes, the bytes of a block side by side (WebAssembly
// SIMD), in AssemblyScript. src/drivers/json-scanner.ts is the authority on what is JSON; this takes over from it in the
// depth of a tree, consumes only blocks that are beyond doubt, and hands back at the first one that is not. It tells
// nobody why: the scanner finds out.
//
// Each byte of a block is a bit of a 64-bit word, the first byte the lowest. For each kind of token there is a word of
// the places where one is, and one of the places that follow one (shifted by one, over spaces); RFC 8259's grammar is
// then a handful of such equations as "a colon stands where a name went before". Only brackets are walked one by one,
// since which of the two kinds of container a comma is in must be known, and so are words, fractions and escapes.
//
// Hostile bytes cannot make it touch anything but its own memory: that is why it is WebAssembly and no native addon.

/** What goes before the next byte; the scanner has the same numbers. */
const beforeValue: u32 = 1;
const beforeName: u32 = 2;
const afterName: u32 = 4;
const afterValue: u32 = 8;
/** With beforeValue or beforeName: a bracket was opened, and may be closed at once. */
const afterOpening: u32 = 16;
const inString: u32 = 32;
/** With inString: the string is a member's name. */
const inName: u32 = 64;

/** The most levels of nesting that are handled here; below them the scanner goes on by itself. */
const deepest: i32 = 16384;
const pieceBytes: i32 = 65536;

/** A byte for each level, 0xff for an object, 0 for an array; a block can go beyond either end before that is noticed. */
const stack: usize = memory.data(deepest + 192) + 64;
/** The bytes to look at, and what a block's loads may reach behind them. */
const piece: usize = memory.data(pieceBytes + 128, 16);
/** What the brackets of the block under way have overwritten in `stack`, to be put back where the block is not taken. */
const overwritten: usize = memory.data(64);

/**
 * The bytes that blocks are compared with. They are loaded, since of constants the compiler would make vectors anew at
 * each use, in three instructions.
 */
const compared: usize = memory.data<u8>([
  0x22, 0x5c, 0x20, 0x7b, 0x7d, 0x3a, 0x2c, 0x30,
  0x7f - 0x39, // moves the digits up to the last numbers that a signed byte holds
  0x7f - 10, // the number before those
]);

/** For each byte: 1 if it can be no part of a number or word. */
const separators: usize = memory.data(256);
/** For each byte: 1 if it may follow a backslash (`u` has its own rule). */
const escapes: usize = memory.data(256);
/** For each control character: 1 if it has an escape of two bytes. */
const controls: usize = memory.data(256);
/** For each byte: 1 if JSON.stringify writes it after a backslash (`u` has its own rule). */
const shortEscapes: usize = memory.data(256);

export const stackAddress: usize = stack;
export const pieceAddress: usize = piece;
export const pieceLength: i32 = pieceBytes;
export const stackLength: i32 = deepest;

/** After `scan`: what goes before the byte that it stopped at, and how many levels are open there. */
export let state: u32 = 0;
export let depth: i32 = 0;

function mark(table: usize, characters: string): void {
  for (let index = 0; index < characters.length; index += 1) {
    store<u8>(table + characters.charCodeAt(index), 1);
  }
}
mark(separators, ' ,:[]{}"');
mark(escapes, '"\\/bfnrt');
mark(shortEscapes, '"\\bfnrt');
mark(controls, '\b\t\n\f\r');

/** The places in a block of four vectors that are all ones in `a` to `d`, and no others. */
// @ts-ignore: a decorator of AssemblyScript
@inline
function joined(a: v128, b: v128, c: v128, d: v128): u64 {
  return (
    <u64>(<u32>i8x16.bitmask(a) | (<u32>i8x16.bitmask(b) << 16)) |
    (<u64>(<u32>i8x16.bitmask(c) | (<u32>i8x16.bitmask(d) << 16)) << 32)
  );
}

/** The places of a byte. */
// @ts-ignore: a decorator of AssemblyScript
@inline
function places(a: v128, b: v128, c: v128, d: v128, byte: v128): u64 {
  return joined(i8x16.eq(a, byte), i8x16.eq(b, byte), i8x16.eq(c, byte), i8x16.eq(d, byte));
}

/** Whether a byte is in the block, at any place of a vector. */
// @ts-ignore: a decorator of AssemblyScript
@inline
function anyOf(a: v128, b: v128, c: v128, d: v128, byte: v128): v128 {
  return v128.or(
    v128.or(i8x16.eq(a, byte), i8x16.eq(b, byte)),
    v128.or(i8x16.eq(c, byte), i8x16.eq(d, byte)),
  );
}

/** Those of '0' to '9', which `above` moves up to the last numbers that a signed byte holds. */
// @ts-ignore: a decorator of AssemblyScript
@inline
function digits(bytes: v128, above: v128, least: v128): v128 {
  return i8x16.gt_s(i8x16.add(bytes, above), least);
}

/** Places that follow `places`, moved behind the spaces there. */
// @ts-ignore: a decorator of AssemblyScript
@inline
function behind(places: u64, spaces: u64): u64 {
  return (places | ((places & spaces) + spaces)) & ~spaces;
}

/** Whether `behind` leads beyond the block. */
// @ts-ignore: a decorator of AssemblyScript
@inline
function leadsOn(places: u64, spaces: u64): u64 {
  return u64((places & spaces) + spaces < spaces);
}

/** The end of the number or word at `at`, or 0 where it is malformed or not whole before `end`. */
function scalarEnd(at: usize, end: usize): usize {
  // The longest word and the separator behind it; a shorter rest is the scanner's.
  if (end - at < 6) return 0;
  const first = load<u8>(at);
  if (first == 0x74) at = load<u32>(at) == 0x65757274 ? at + 4 : end; // true
  else if (first == 0x6e) at = load<u32>(at) == 0x6c6c756e ? at + 4 : end; // null
  else if (first == 0x66) at = load<u32>(at + 1) == 0x65736c61 ? at + 5 : end; // false
  else {
    at = numberEnd(at, end);
  }
  return at < end && load<u8>(separators + load<u8>(at)) ? at : 0;
}

// @ts-ignore: a decorator of AssemblyScript
@inline
function isDigit(at: usize): bool {
  return load<u8>(at) - 0x30 < 10;
}

/** RFC 8259, section 6. Reads at most to `end`, which is readable but no digit's place; `end` where it is malformed. */
function numberEnd(at: usize, end: usize): usize {
  if (load<u8>(at) == 0x2d) at += 1;
  if (at >= end || !isDigit(at)) return end;
  if (load<u8>(at) == 0x30) at += 1;
  else while (at < end && isDigit(at)) at += 1;
  if (at < end && load<u8>(at) == 0x2e) {
    at += 1;
    if (at >= end || !isDigit(at)) return end;
    while (at < end && isDigit(at)) at += 1;
  }
  if (at < end && (load<u8>(at) | 0x20) == 0x65) {
    at += 1;
    if (at < end && (load<u8>(at) == 0x2b || load<u8>(at) == 0x2d)) at += 1;
    if (at >= end || !isDigit(at)) return end;
    while (at < end && isDigit(at)) at += 1;
  }
  return at;
}

function isHexadecimal(at: usize): bool {
  const byte = load<u8>(at);
  return byte - 0x30 < 10 || (byte | 0x20) - 0x61 < 6;
}

/** Whether a backslash at `at` begins a whole escape before `end`. */
function isEscape(at: usize, end: usize): bool {
  if (end - at < 6) return end - at >= 2 && load<u8>(escapes + load<u8>(at + 1)) != 0;
  const byte = load<u8>(at + 1);
  if (byte != 0x75) return load<u8>(escapes + byte) != 0;
  return isHexadecimal(at + 2) && isHexadecimal(at + 3) && isHexadecimal(at + 4) && isHexadecimal(at + 5);
}

/** Puts back what the brackets of a block have overwritten, the last first, from the level that they led to. */
function putBack(block: usize, brackets: u64, top: usize): void {
  let log = overwritten + <usize>popcnt(brackets);
  while (brackets != 0) {
    const place = 63 - clz(brackets);
    brackets ^= (<u64>1) << place;
    const opens = <usize>(load<u8>(block + <usize>place) >> 1) & 1;
    log -= 1;
    top += 1 - opens;
    store<u8>(top, load<u8>(log));
    top -= opens;
  }
}

/**
 * Checks blocks from `from` on and stops before the first that is not beyond doubt, that has a newline, that would leave
 * fewer than `floor` or more than `limit` levels open, or that is not whole.
 * @param from offset in the piece
 * @param length of the piece
 * @param before what goes before the first byte
 * @param levels how many are open; `stack` has their kinds
 * @returns the offset where it stopped; `state` and `depth` tell what goes before it
 */
export function scan(from: i32, length: i32, before: u32, levels: i32, floor: i32, limit: i32): i32 {
  const end = piece + length;
  let block = piece + from;
  /** Where the kind of the innermost container lies, where that of the outermost that may be left, of the deepest. */
  let top = stack + levels;
  const lowest = stack + floor;
  const highest = stack + limit;

  const quote = v128.load_splat<u8>(compared);
  const backslash = v128.load_splat<u8>(compared, 1);
  const space = v128.load_splat<u8>(compared, 2);
  const opening = v128.load_splat<u8>(compared, 3);
  const closing = v128.load_splat<u8>(compared, 4);
  const colon = v128.load_splat<u8>(compared, 5);
  const comma = v128.load_splat<u8>(compared, 6);
  const zero = v128.load_splat<u8>(compared, 7);
  const aboveDigits = v128.load_splat<u8>(compared, 8);
  const beforeDigits = v128.load_splat<u8>(compared, 9);

  // What the last block carries into the next: a bit each, at the place of the first byte.
  let valueNext = u64((before & beforeValue) != 0);
  let nameNext = u64((before & beforeName) != 0);
  let colonNext = u64((before & afterName) != 0);
  let valueBefore = u64((before & afterValue) != 0);
  let openingBefore = u64((before & afterOpening) != 0);
  let nameCut = u64((before & inName) != 0);
  let stringCut: u64 = before & inString ? ~(<u64>0) : 0;
  let escapeCut: u64 = 0;
  let scalarCut: u64 = 0;
  let zeroCut: u64 = 0;

  while (block + 64 <= end) {
    const a = v128.load(block);
    const b = v128.load(block, 16);
    const c = v128.load(block, 32);
    const d = v128.load(block, 48);

    // Control characters: an error in strings, a newline or rare elsewhere.
    const least = i8x16.min_u(i8x16.min_u(a, b), i8x16.min_u(c, d));
    if (i8x16.bitmask(i8x16.eq(i8x16.min_u(least, space), space)) != 0xffff) break;

    let quotes = places(a, b, c, d, quote);
    let escapeNext: u64 = 0;
    if ((<i32>escapeCut | i8x16.bitmask(anyOf(a, b, c, d, backslash))) != 0) {
      let backslashes = places(a, b, c, d, backslash) & ~escapeCut;
      let escaped = escapeCut;
      let doubtful = false;
      while (backslashes != 0) {
        const place = ctz(backslashes);
        if (!isEscape(block + <usize>place, end)) {
          doubtful = true;
          break;
        }
        if (place == 63) {
          escapeNext = 1;
          break;
        }
        escaped |= (<u64>2) << place;
        backslashes &= ~((<u64>3) << place);
      }
      if (doubtful) break;
      quotes &= ~escaped;
    }

    // From each opening quote up to the closing one: the bits between are those with an odd number of quotes before.
    let strings = quotes ^ (quotes << 1);
    strings ^= strings << 2;
    strings ^= strings << 4;
    strings ^= strings << 8;
    strings ^= strings << 16;
    strings ^= strings << 32;
    strings ^= stringCut;
    const opened = quotes & strings;
    const closed = quotes ^ opened;
    const outside = ~(strings | quotes);

    // [ and {, ] and } differ in one bit.
    const al = v128.or(a, space);
    const bl = v128.or(b, space);
    const cl = v128.or(c, space);
    const dl = v128.or(d, space);
    const openings = places(al, bl, cl, dl, opening) & outside;
    const closings = places(al, bl, cl, dl, closing) & outside;
    const brackets = openings | closings;
    if (top + <usize>popcnt(openings) > highest) break;

    // The brackets one by one: whether they match, and where the container is an object.
    let level = top;
    let log = overwritten;
    let fault: i32 = 0;
    let kind = i64.load8_s(level);
    let objects: u64 = kind;
    for (let left = brackets; left != 0; left &= left - 1) {
      const byte = i32.load8_u(block + <usize>ctz(left));
      const opens = (byte >> 1) & 1; // [ and { have this bit, ] and } have not
      const mine = (byte << 26) >> 31; // { and } have bit 5, [ and ] have not
      level += opens;
      const old = i32.load8_s(level);
      store<i8>(log, old);
      log += 1;
      store<i8>(level, mine);
      level += opens - 1;
      // Negative where a closing bracket is not of the kind of the last opening one, or leads out too far.
      fault |= ((old ^ mine) & (opens - 1)) | <i32>(level - lowest);
      const now = i64.load8_s(level);
      objects ^= (now ^ kind) & -(left & -left);
      kind = now;
    }

    const colons = places(a, b, c, d, colon) & outside;
    const commas = places(a, b, c, d, comma) & outside;
    const structure = brackets | colons | commas;
    let scalars = outside ^ structure;
    const plain =
      scalars &
      joined(
        digits(a, aboveDigits, beforeDigits),
        digits(b, aboveDigits, beforeDigits),
        digits(c, aboveDigits, beforeDigits),
        digits(d, aboveDigits, beforeDigits),
      );
    // What is no plain number: spaces, words, signs, fractions, exponents, and what belongs nowhere.
    let others = scalars ^ plain;
    let spaces: u64 = 0;
    if (others != 0) {
      spaces = places(a, b, c, d, space) & outside;
      scalars ^= spaces;
      others ^= spaces;
    }
    const followScalars = (scalars << 1) | scalarCut;
    const scalarStarts = scalars & ~followScalars;

    // What goes before each place.
    const nameMakers = (openings | commas) & objects;
    const valueMakers = colons | ((openings | commas) ^ nameMakers);
    let expectValue = (valueMakers << 1) | valueNext;
    let expectName = (nameMakers << 1) | nameNext;
    let followOpening = (openings << 1) | openingBefore;
    let valueNextOn = valueMakers >> 63;
    let nameNextOn = nameMakers >> 63;
    let openingOn = openings >> 63;
    if (spaces != 0) {
      valueNextOn |= leadsOn(expectValue, spaces);
      nameNextOn |= leadsOn(expectName, spaces);
      openingOn |= leadsOn(followOpening, spaces);
      expectValue = behind(expectValue, spaces);
      expectName = behind(expectName, spaces);
      followOpening = behind(followOpening, spaces);
    }
    // The carry of the addition runs through the string from its first bit and comes out at its closing quote.
    const names = (opened & expectName) + nameCut;
    const ran = strings + names;
    const nameNextCut = u64(ran < names);
    const closedNames = ran & closed;

    const values = (closed ^ closedNames) | closings;
    let expectColon = (closedNames << 1) | colonNext;
    let followValue = (values << 1) | valueBefore | (followScalars & ~scalars);
    let colonOn = closedNames >> 63;
    let valueOn = values >> 63;
    if (spaces != 0) {
      colonOn |= leadsOn(expectColon, spaces);
      valueOn |= leadsOn(followValue, spaces);
      expectColon = behind(expectColon, spaces);
      followValue = behind(followValue, spaces);
    }

    const zeros = places(a, b, c, d, zero) & scalarStarts;
    const right =
      (opened & (expectValue | expectName)) |
      ((scalarStarts | openings) & expectValue) |
      (colons & expectColon) |
      (commas & followValue) |
      (closings & (followValue | followOpening));
    const wrong =
      (right ^ (opened | scalarStarts | structure)) | (((zeros << 1) | zeroCut) & plain) | <u64>(<i64>(fault >> 31));

    if (wrong == 0) {
      while (others != 0) {
        let start = block + <usize>ctz(others);
        while (start > piece + from && !load<u8>(separators + load<u8>(start - 1))) start -= 1;
        const after = scalarEnd(start, end);
        if (after == 0) break;
        others &= after >= block + 64 ? 0 : ~(<u64>0) << <u64>(after - block);
      }
    }
    if (wrong | others) {
      putBack(block, brackets, level);
      break;
    }

    valueNext = valueNextOn;
    nameNext = nameNextOn;
    openingBefore = openingOn;
    colonNext = colonOn;
    valueBefore = valueOn;
    nameCut = nameNextCut;
    stringCut = <u64>(<i64>strings >> 63);
    escapeCut = escapeNext;
    scalarCut = scalars >> 63;
    zeroCut = zeros >> 63;
    top = level;
    block += 64;
  }

  // A number, word or escape that is cut is handed back whole.
  if (scalarCut != 0) {
    while (block > piece + from && !load<u8>(separators + load<u8>(block - 1))) block -= 1;
    state = beforeValue;
  } else if (escapeCut != 0) {
    block -= 1;
    state = inString | u32(nameCut != 0 ? inName : 0);
  } else {
    state =
      <u32>(valueNext * beforeValue) |
      <u32>(nameNext * beforeName) |
      <u32>(colonNext * afterName) |
      <u32>(valueBefore * afterValue) |
      <u32>(openingBefore * afterOpening) |
      <u32>(nameCut * inName) |
      (stringCut != 0 ? inString : 0);
  }
  depth = <i32>(top - stack);
  return <i32>(block - piece);
}

/** After `textEnd`: how many bytes more the escapes that it went over have than the characters that they stand for. */
export let spare: i32 = 0;

/** The length of an escape that begins at `at`, as JSON.stringify writes it for one byte; 0 for any other, or a part of one. */
// @ts-ignore: a decorator of AssemblyScript
@inline
function escapeLength(at: usize, end: usize): usize {
  if (end - at < 2) return 0;
  const byte = load<u8>(at + 1);
  if (load<u8>(shortEscapes + byte)) return 2;
  // \u00XX of a control character that has no shorter way.
  if (byte != 0x75 || end - at < 6 || load<u16>(at + 2) != 0x3030) return 0;
  const high = load<u8>(at + 4) - 0x30;
  const low = load<u8>(at + 5);
  const digit: u8 = low - 0x30 < 10 ? low - 0x30 : low - 0x61 < 6 ? low - 0x57 : 16;
  if (high > 1 || digit > 15) return 0;
  return high == 0 && load<u8>(controls + digit) ? 0 : 6;
}

/**
 * Goes over the rest of a string for as long as it is written as JSON.stringify writes strings, whose UTF-8 is not looked at.
 * @param length of the piece
 * @returns the offset of the first byte that is no part of it, or the piece's end: of the closing quote, of a character that
 * must not stand there, or of an escape that is written otherwise or is not whole
 */
export function textEnd(length: i32): i32 {
  const end = piece + length;
  const quote = v128.load_splat<u8>(compared);
  const backslash = v128.load_splat<u8>(compared, 1);
  const space = v128.load_splat<u8>(compared, 2);
  let at = piece;
  spare = 0;
  while (at < end) {
    // What lies behind the piece is readable.
    const bytes = v128.load(at);
    const stops = i8x16.bitmask(
      v128.or(v128.or(i8x16.eq(bytes, quote), i8x16.eq(bytes, backslash)), i8x16.lt_u(bytes, space)),
    );
    if (stops == 0) {
      at += 16;
      continue;
    }
    at += ctz(stops);
    if (at >= end || load<u8>(at) != 0x5c) break;
    const escape = escapeLength(at, end);
    if (escape == 0) break;
    at += escape;
    spare += <i32>escape - 1;
  }
  return <i32>(min(at, end) - piece);
}
