// The bytes of a block side by side, and its places as bits of a word.

/** The places in a block of four vectors that are all ones in `a` to `d`, and no others. */
// @ts-ignore: a decorator of AssemblyScript
@inline
export function joined(a: v128, b: v128, c: v128, d: v128): u64 {
  return (
    <u64>(<u32>i8x16.bitmask(a) | (<u32>i8x16.bitmask(b) << 16)) |
    (<u64>(<u32>i8x16.bitmask(c) | (<u32>i8x16.bitmask(d) << 16)) << 32)
  );
}

/** The places of a byte. */
// @ts-ignore: a decorator of AssemblyScript
@inline
export function places(a: v128, b: v128, c: v128, d: v128, byte: v128): u64 {
  return joined(i8x16.eq(a, byte), i8x16.eq(b, byte), i8x16.eq(c, byte), i8x16.eq(d, byte));
}

/** Whether a byte is in the block, at any place of a vector. */
// @ts-ignore: a decorator of AssemblyScript
@inline
export function anyOf(a: v128, b: v128, c: v128, d: v128, byte: v128): v128 {
  return v128.or(
    v128.or(i8x16.eq(a, byte), i8x16.eq(b, byte)),
    v128.or(i8x16.eq(c, byte), i8x16.eq(d, byte)),
  );
}

/** Those of '0' to '9', which `above` moves up to the last numbers that a signed byte holds. */
// @ts-ignore: a decorator of AssemblyScript
@inline
export function digits(bytes: v128, above: v128, least: v128): v128 {
  return i8x16.gt_s(i8x16.add(bytes, above), least);
}

/** Places that follow `places`, moved behind the spaces there. */
// @ts-ignore: a decorator of AssemblyScript
@inline
export function behind(places: u64, spaces: u64): u64 {
  return (places | ((places & spaces) + spaces)) & ~spaces;
}

/** Whether `behind` leads beyond the block. */
// @ts-ignore: a decorator of AssemblyScript
@inline
export function leadsOn(places: u64, spaces: u64): u64 {
  return u64((places & spaces) + spaces < spaces);
}
