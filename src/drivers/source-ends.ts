// The ends of a source, by which its language is detected. Apart from the detection, which is loaded when it is needed.

/** How much of a source's beginning and end is looked at, in characters. */
const endLength = 2048;

/** So many characters of a content's beginning and of its end, or all of a short one. */
export interface SourceEnds {
  readonly head: string;
  readonly tail: string;
}

/** The ends of a content. */
export function endsOf(content: string): SourceEnds {
  return { head: content.slice(0, endLength), tail: content.slice(-endLength) };
}

/** The same of a text in UTF-8, of which no more is decoded. */
export function endsOfBytes(content: Buffer): SourceEnds {
  // A character of one unit in UTF-16 takes three bytes at most, one of two units four; and one may be cut.
  const most = 3 * endLength + 3;
  let start = Math.max(content.length - most, 0);
  while (start > 0 && ((content[start] ?? 0) & 0xc0) === 0x80) start += 1;
  // Of one that is cut, the rest is left out before the tail, and stands behind the head.
  return {
    head: content.toString('utf8', 0, most).slice(0, endLength),
    tail: content.toString('utf8', start).slice(-endLength),
  };
}
