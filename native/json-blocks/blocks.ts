// The fast way through a tree: checks it in blocks of 64 bytes, the bytes of a block side by side (WebAssembly SIMD). Takes
// only blocks that are beyond doubt, and stops at the first one that is not: what is wrong there, if anything, is found by
// the walk over bytes (index.ts).
//
// Each byte of a block is a bit of a 64-bit word, the first byte the lowest. For each kind of token there is a word of
// the places where one is, and one of the places that follow one (shifted by one, over spaces); RFC 8259's grammar is
// then a handful of such equations as "a colon stands where a name went before". Only brackets are walked one by one,
// since which of the two kinds of container a comma is in must be known, and so are words, fractions and escapes.

import { isEscape, scalarEnd, State } from './grammar';
import { compared, overwritten, piece, separators, stack, stackEnd } from './memory';
import { anyOf, behind, digits, joined, leadsOn, places } from './vectors';

/** After `takeBlocks`: the state before the byte that it stopped at, and how many containers are open there. */
export let state: i32 = 0;
export let depth: i32 = 0;

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
 * Checks blocks and stops before the first that is not beyond doubt, that has a control character, that would leave fewer
 * than `floor` or more than `limit` levels open, or that is not whole.
 * @param from the first block
 * @param before the state before it, which must be one between tokens or within a string
 * @param levels how many are open; `stack` has their kinds
 * @returns where it stopped, with `state` and `depth`
 */
export function takeBlocks(from: usize, end: usize, before: i32, levels: i32, floor: i32, limit: i32): usize {
  let block = from;
  /** Where the kind of the innermost container lies, where that of the outermost that may be left, of the deepest. */
  let top = stack + levels;
  const lowest = stack + floor;
  const highest = min(stack + limit, stackEnd());

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
  let valueNext = u64((before & State.value) != 0);
  let nameNext = u64((before & State.name) != 0);
  let colonNext = u64((before & State.colon) != 0);
  let valueBefore = u64((before & State.afterValue) != 0);
  let openingBefore = u64((before & State.opened) != 0);
  let nameCut = u64((before & State.inName) != 0);
  let stringCut: u64 = before & State.inString ? ~(<u64>0) : 0;
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
        while (start > from && !load<u8>(separators + load<u8>(start - 1))) start -= 1;
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
    while (block > from && !load<u8>(separators + load<u8>(block - 1))) block -= 1;
    state = State.value;
  } else if (escapeCut != 0) {
    block -= 1;
    state = State.inString | (nameCut != 0 ? State.inName : 0);
  } else {
    state =
      <i32>valueNext * State.value |
      <i32>nameNext * State.name |
      <i32>colonNext * State.colon |
      <i32>valueBefore * State.afterValue |
      <i32>openingBefore * State.opened |
      <i32>nameCut * State.inName |
      (stringCut != 0 ? State.inString : 0);
  }
  depth = <i32>(top - stack);
  return block;
}
