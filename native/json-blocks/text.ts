// The fast way over a source's text, which clients send as a JSON string, and the way of a file's text to become one.
import { compared, controls, escapeLetters, piece, pieceBytes, shortEscapes } from './memory';

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

/** So many bytes of text become a part of a string in one call; each may be written with six. */
export const quoteBytes: i32 = 8192;
/** Where the text lies: what it becomes is written from the beginning of the piece on, and stays behind what is read. */
const quoteFrom: usize = piece + pieceBytes - quoteBytes;

/**
 * Writes text as JSON.stringify writes what is between a string's quotes. Its UTF-8 is not looked at.
 * @param length of the text, which lies at `quoteAddress`
 * @returns how many bytes were written, from the beginning of the piece on
 */
export function quote(length: i32): i32 {
  const end = quoteFrom + length;
  const quoteMark = v128.load_splat<u8>(compared);
  const backslash = v128.load_splat<u8>(compared, 1);
  const space = v128.load_splat<u8>(compared, 2);
  let at = quoteFrom;
  let to = piece;
  while (at < end) {
    // What lies behind the text is readable, and what is written behind the string is overwritten.
    const bytes = v128.load(at);
    v128.store(to, bytes);
    const stops = i8x16.bitmask(
      v128.or(v128.or(i8x16.eq(bytes, quoteMark), i8x16.eq(bytes, backslash)), i8x16.lt_u(bytes, space)),
    );
    const plain: usize = stops == 0 ? 16 : <usize>ctz(stops);
    at += plain;
    to += plain;
    if (stops == 0 || at >= end) continue;
    const byte = load<u8>(at);
    const letter = load<u8>(escapeLetters + byte);
    at += 1;
    if (letter != 0) {
      store<u16>(to, (<u16>letter << 8) | 0x5c);
      to += 2;
    } else {
      store<u32>(to, 0x3030755c); // \u00
      const low = byte & 15;
      store<u16>(to + 4, <u16>(0x30 + (byte >> 4)) | (<u16>(low < 10 ? 0x30 + low : 0x57 + low) << 8));
      to += 6;
    }
  }
  // The last bytes that were taken at once may have been beyond the end.
  return <i32>(to - piece - (at - end));
}

export const quoteAddress: usize = quoteFrom;
