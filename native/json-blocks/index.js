"use strict";
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
Object.defineProperty(exports, "__esModule", { value: true });
exports.depth = exports.state = exports.stackLength = exports.pieceLength = exports.pieceAddress = exports.stackAddress = void 0;
exports.scan = scan;
/** What goes before the next byte; the scanner has the same numbers. */
const beforeValue = 1;
const beforeName = 2;
const afterName = 4;
const afterValue = 8;
/** With beforeValue or beforeName: a bracket was opened, and may be closed at once. */
const afterOpening = 16;
const inString = 32;
/** With inString: the string is a member's name. */
const inName = 64;
/** The most levels of nesting that are handled here; below them the scanner goes on by itself. */
const deepest = 16384;
const pieceBytes = 65536;
/** A byte for each level, 0x20 for an object, 0 for an array; a block can go beyond either end before that is noticed. */
const stack = memory.data(deepest + 192) + 64;
/** The bytes to look at, and what a block's loads may reach behind them. */
const piece = memory.data(pieceBytes + 128, 16);
/** What the brackets of the block under way have overwritten in `stack`, to be put back where the block is not taken. */
const overwritten = memory.data(64);
/** For each byte: 1 if it can be no part of a number or word. */
const separators = memory.data(256);
/** For each byte: 1 if it may follow a backslash (`u` has its own rule). */
const escapes = memory.data(256);
exports.stackAddress = stack;
exports.pieceAddress = piece;
exports.pieceLength = pieceBytes;
exports.stackLength = deepest;
/** After `scan`: what goes before the byte that it stopped at, and how many levels are open there. */
exports.state = 0;
exports.depth = 0;
function mark(table, characters) {
    for (let index = 0; index < characters.length; index += 1) {
        store(table + characters.charCodeAt(index), 1);
    }
}
mark(separators, ' ,:[]{}"');
mark(escapes, '"\\/bfnrt');
/** The places of a byte in a block of four vectors. */
// @ts-ignore: a decorator of AssemblyScript
function places(a, b, c, d, byte) {
    const wanted = i8x16.splat(byte);
    return joined(i8x16.eq(a, wanted), i8x16.eq(b, wanted), i8x16.eq(c, wanted), i8x16.eq(d, wanted));
}
// @ts-ignore: a decorator of AssemblyScript
function joined(a, b, c, d) {
    return ((i8x16.bitmask(a) | (i8x16.bitmask(b) << 16)) |
        ((i8x16.bitmask(c) | (i8x16.bitmask(d) << 16)) << 32));
}
/** Whether each byte is a digit. */
// @ts-ignore: a decorator of AssemblyScript
function digits(bytes) {
    return i8x16.lt_u(i8x16.sub(bytes, i8x16.splat(0x30)), i8x16.splat(10));
}
/** Places that follow `places`, moved behind the spaces there. */
// @ts-ignore: a decorator of AssemblyScript
function behind(places, spaces) {
    return (places | ((places & spaces) + spaces)) & ~spaces;
}
/** Whether `behind` leads beyond the block. */
// @ts-ignore: a decorator of AssemblyScript
function leadsOn(places, spaces) {
    return u64((places & spaces) + spaces < spaces);
}
/** The end of the number or word at `at`, or 0 where it is malformed or not whole before `end`. */
function scalarEnd(at, end) {
    // The longest word and the separator behind it; a shorter rest is the scanner's.
    if (end - at < 6)
        return 0;
    const first = load(at);
    if (first == 0x74)
        at = load(at) == 0x65757274 ? at + 4 : end; // true
    else if (first == 0x6e)
        at = load(at) == 0x6c6c756e ? at + 4 : end; // null
    else if (first == 0x66)
        at = load(at + 1) == 0x65736c61 ? at + 5 : end; // false
    else {
        at = numberEnd(at, end);
    }
    return at < end && load(separators + load(at)) ? at : 0;
}
// @ts-ignore: a decorator of AssemblyScript
function isDigit(at) {
    return load(at) - 0x30 < 10;
}
/** RFC 8259, section 6. Reads at most to `end`, which is readable but no digit's place; `end` where it is malformed. */
function numberEnd(at, end) {
    if (load(at) == 0x2d)
        at += 1;
    if (at >= end || !isDigit(at))
        return end;
    if (load(at) == 0x30)
        at += 1;
    else
        while (at < end && isDigit(at))
            at += 1;
    if (at < end && load(at) == 0x2e) {
        at += 1;
        if (at >= end || !isDigit(at))
            return end;
        while (at < end && isDigit(at))
            at += 1;
    }
    if (at < end && (load(at) | 0x20) == 0x65) {
        at += 1;
        if (at < end && (load(at) == 0x2b || load(at) == 0x2d))
            at += 1;
        if (at >= end || !isDigit(at))
            return end;
        while (at < end && isDigit(at))
            at += 1;
    }
    return at;
}
function isHexadecimal(at) {
    const byte = load(at);
    return byte - 0x30 < 10 || (byte | 0x20) - 0x61 < 6;
}
/** Whether a backslash at `at` begins a whole escape before `end`. */
function isEscape(at, end) {
    if (end - at < 6)
        return end - at >= 2 && load(escapes + load(at + 1)) != 0;
    const byte = load(at + 1);
    if (byte != 0x75)
        return load(escapes + byte) != 0;
    return isHexadecimal(at + 2) && isHexadecimal(at + 3) && isHexadecimal(at + 4) && isHexadecimal(at + 5);
}
/** Puts back what the brackets of a block have overwritten, the last first. */
function putBack(block, brackets, level) {
    let count = popcnt(brackets);
    while (brackets != 0) {
        const place = 63 - clz(brackets);
        brackets ^= 1 << place;
        count -= 1;
        const opens = ((load(block + place) >> 1) & 1);
        level += 1 - 2 * opens;
        store(stack + level + opens, load(overwritten + count));
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
function scan(from, length, before, levels, floor, limit) {
    const end = piece + length;
    let block = piece + from;
    // What the last block carries into the next: a bit each, at the place of the first byte.
    let valueNext = u64((before & beforeValue) != 0);
    let nameNext = u64((before & beforeName) != 0);
    let colonNext = u64((before & afterName) != 0);
    let valueBefore = u64((before & afterValue) != 0);
    let openingBefore = u64((before & afterOpening) != 0);
    let nameCut = u64((before & inName) != 0);
    let stringCut = before & inString ? ~0 : 0;
    let escapeCut = 0;
    let scalarCut = 0;
    let zeroCut = 0;
    while (block + 64 <= end) {
        const a = v128.load(block);
        const b = v128.load(block, 16);
        const c = v128.load(block, 32);
        const d = v128.load(block, 48);
        // Control characters: an error in strings, a newline or rare elsewhere.
        const least = i8x16.min_u(i8x16.min_u(a, b), i8x16.min_u(c, d));
        if (v128.any_true(i8x16.lt_u(least, i8x16.splat(0x20))))
            break;
        let quotes = places(a, b, c, d, 0x22);
        let escapeNext = 0;
        let backslashes = places(a, b, c, d, 0x5c);
        if ((backslashes | escapeCut) != 0) {
            let escaped = escapeCut;
            let doubtful = false;
            backslashes &= ~escapeCut;
            while (backslashes != 0) {
                const place = ctz(backslashes);
                if (!isEscape(block + place, end)) {
                    doubtful = true;
                    break;
                }
                if (place == 63) {
                    escapeNext = 1;
                    break;
                }
                escaped |= 2 << place;
                backslashes &= ~(3 << place);
            }
            if (doubtful)
                break;
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
        const closed = quotes & ~strings;
        const lower = i8x16.splat(0x20);
        const al = v128.or(a, lower);
        const bl = v128.or(b, lower);
        const cl = v128.or(c, lower);
        const dl = v128.or(d, lower);
        const openings = places(al, bl, cl, dl, 0x7b) & ~strings;
        const closings = places(al, bl, cl, dl, 0x7d) & ~strings;
        const colons = places(a, b, c, d, 0x3a) & ~strings;
        const commas = places(a, b, c, d, 0x2c) & ~strings;
        const spaces = places(a, b, c, d, 0x20) & ~strings;
        // The brackets one by one: whether they match, and where the container is an object.
        const brackets = openings | closings;
        let level = levels;
        let fault = 0;
        let kind = -(load(stack + level) >> 5);
        let objects = kind;
        let count = 0;
        for (let left = brackets; left != 0; left &= left - 1) {
            const place = ctz(left);
            const byte = load(block + place);
            const opens = (byte >> 1) & 1; // [ and { have this bit, ] and } have not
            const mine = byte & 0x20; // { and } have this bit, [ and ] have not
            const index = level + opens;
            const old = load(stack + index);
            store(overwritten + count, old);
            count += 1;
            store(stack + index, mine);
            level = index + opens - 1;
            fault |= ((old ^ mine) & (opens - 1)) | ((limit - level) & (1 << 31)) | ((level - floor) & (1 << 31));
            const now = -(load(stack + level) >> 5);
            objects ^= (now ^ kind) << place;
            kind = now;
        }
        const scalars = ~(strings | closed | spaces | brackets | colons | commas);
        const followScalars = (scalars << 1) | scalarCut;
        const scalarStarts = scalars & ~followScalars;
        // What goes before each place.
        const valueMakers = colons | ((openings | commas) & ~objects);
        const nameMakers = (openings | commas) & objects;
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
        const digit = joined(digits(a), digits(b), digits(c), digits(d));
        const zeros = places(a, b, c, d, 0x30) & scalarStarts;
        const wrong = (opened & ~(expectValue | expectName)) |
            ((scalarStarts | openings) & ~expectValue) |
            (colons & ~expectColon) |
            (commas & ~followValue) |
            (closings & ~(followValue | followOpening)) |
            (((zeros << 1) | zeroCut) & scalars & digit);
        // What is no plain number: words, signs, fractions, exponents, and what belongs nowhere.
        let others = scalars & ~digit;
        if (wrong == 0 && fault == 0) {
            while (others != 0) {
                let start = block + ctz(others);
                while (start > piece + from && !load(separators + load(start - 1)))
                    start -= 1;
                const after = scalarEnd(start, end);
                if (after == 0)
                    break;
                others &= after >= block + 64 ? 0 : ~0 << (after - block);
            }
        }
        if (wrong != 0 || fault != 0 || others != 0) {
            putBack(block, brackets, level);
            break;
        }
        valueNext = valueNextOn;
        nameNext = nameNextOn;
        openingBefore = openingOn;
        colonNext = colonOn;
        valueBefore = valueOn;
        nameCut = nameNextCut;
        stringCut = (strings >> 63);
        escapeCut = escapeNext;
        scalarCut = scalars >> 63;
        zeroCut = zeros >> 63;
        levels = level;
        block += 64;
    }
    // A number, word or escape that is cut is handed back whole.
    if (scalarCut != 0) {
        while (block > piece + from && !load(separators + load(block - 1)))
            block -= 1;
        exports.state = beforeValue;
    }
    else if (escapeCut != 0) {
        block -= 1;
        exports.state = inString | u32(nameCut != 0 ? inName : 0);
    }
    else {
        exports.state =
            (valueNext * beforeValue) |
                (nameNext * beforeName) |
                (colonNext * afterName) |
                (valueBefore * afterValue) |
                (openingBefore * afterOpening) |
                (nameCut * inName) |
                (stringCut != 0 ? inString : 0);
    }
    exports.depth = levels;
    return (block - piece);
}
