// Numbers, words and escapes, which are walked byte by byte.
import { escapes, separators } from './memory';

/** The end of the number or word at `at`, or 0 where it is malformed or not whole before `end`. */
export function scalarEnd(at: usize, end: usize): usize {
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
export function isEscape(at: usize, end: usize): bool {
  if (end - at < 6) return end - at >= 2 && load<u8>(escapes + load<u8>(at + 1)) != 0;
  const byte = load<u8>(at + 1);
  if (byte != 0x75) return load<u8>(escapes + byte) != 0;
  return isHexadecimal(at + 2) && isHexadecimal(at + 3) && isHexadecimal(at + 4) && isHexadecimal(at + 5);
}
