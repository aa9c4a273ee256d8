// Decodes a host's message but for its trees, which stay bytes: a client that writes them to a file or a pipe need not
// decode and encode them again. Only brackets and strings are looked at on the way over a tree.
import { beforeValue, blockBytes, inString, jsonBlocks, objectMark } from '../json/block-scanner.ts';
import { RawJson } from '../json/raw-json.ts';

const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;
const comma = 0x2c;
const closingBrace = 0x7d;
const key = Buffer.from('"uast":');
const lengthKey = Buffer.from('"uastBytes":');
const nothing = Buffer.from('null');

/** Deeper trees are stepped over byte by byte. */
const deepest = 4096;

/** What a byte means outside a string: 1 opens, 2 closes, 3 begins a string. */
const meaning = new Uint8Array(256);
for (const byte of [0x7b, 0x5b]) meaning[byte] = 1;
for (const byte of [0x7d, 0x5d]) meaning[byte] = 2;
meaning[quote] = 3;

/** Where `uast` stands: in `result`, or in an element of `params.value` (`parse/files`). */
const depths: readonly number[] = [2, 4];

/**
 * How a host's messages begin, and how deep in them it tells how long a tree is. In a response, what stands deeper may be a
 * driver's, as in `errors`: it must not say where a client goes on.
 */
const toldDepths: readonly (readonly [Buffer, number])[] = [
  [Buffer.from('{"jsonrpc":"2.0","id":'), 2],
  [Buffer.from('{"jsonrpc":"2.0","method":"$/progress",'), 4],
];

/**
 * The message that `content` is, with a RawJson for each tree of a parse result.
 * @param content JSON in UTF-8, of a host's making: the trees themselves are not checked
 * @throws SyntaxError where what is decoded is not JSON
 */
export function decodeWithRawTrees(content: Buffer): unknown {
  const trees: RawJson[] = [];
  const rest: Buffer[] = [];
  const toldDepth = toldDepths.find(([start]) => content.subarray(0, start.length).equals(start))?.[1];
  let kept = 0;
  let depth = 0;
  for (let at = 0; at < content.length; at += 1) {
    const byte = content[at] ?? 0;
    const means = meaning[byte];
    if (means === 0) continue;
    if (means === 1) depth += 1;
    else if (means === 2) depth -= 1;
    else {
      const end = endOfString(content, at);
      if (content[end] === colon && depths.includes(depth) && content.subarray(at, end + 1).equals(key)) {
        const start = end + 1;
        const stop = (depth === toldDepth ? toldEnd(content, at, start) : undefined) ?? endOfValue(content, start);
        trees.push(new RawJson([content.subarray(start, stop)]));
        rest.push(content.subarray(kept, start), nothing);
        kept = stop;
        at = stop - 1;
      } else {
        at = end - 1;
      }
    }
  }
  if (trees.length === 0) return JSON.parse(content.toString('utf8'));
  rest.push(content.subarray(kept));
  const message: unknown = JSON.parse(Buffer.concat(rest).toString('utf8'));
  const holders = holdersOf(message);
  // A `uast` of something else at the same depth: rare enough to decode the message whole.
  if (holders.length !== trees.length) return JSON.parse(content.toString('utf8'));
  for (const [index, holder] of holders.entries()) holder.uast = trees[index];
  return message;
}

/** The objects of a message that have a tree, in the order of its text. */
function holdersOf(message: unknown): { uast: unknown }[] {
  if (!isObject(message)) return [];
  if ('result' in message) return [message.result].filter(hasTree);
  if (!('params' in message) || !isObject(message.params) || !('value' in message.params)) return [];
  const { value } = message.params;
  return Array.isArray(value) ? value.filter(hasTree) : [];
}

function hasTree(value: unknown): value is { uast: unknown } {
  return isObject(value) && 'uast' in value;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

/** Strings of trees are short, names mostly: up to here a loop is quicker than a call of `indexOf`. */
const shortString = 64;

/** The offset after the closing quote of the string that begins at `start`. */
function endOfString(content: Buffer, start: number): number {
  const near = Math.min(start + shortString, content.length);
  for (let at = start + 1; at < near; at += 1) {
    const byte = content[at];
    if (byte === quote) return at + 1;
    // What is escaped cannot end it.
    if (byte === backslash) at += 1;
  }
  return endOfLongString(content, start);
}

function endOfLongString(content: Buffer, start: number): number {
  for (let end = content.indexOf(quote, start + 1); end >= 0; end = content.indexOf(quote, end + 1)) {
    let before = end - 1;
    while (content[before] === backslash) before -= 1;
    // An even number of backslashes before it: they escape one another, and the quote is the string's end.
    if ((end - before) % 2 === 1) return end + 1;
  }
  return content.length;
}

/** The most digits of a length. */
const longestLength = 10;

/**
 * The offset after the value that begins at `start`, as the host told its length right before the value's key, which is at
 * `keyAt`; undefined where it told none, or none that can be.
 */
function toldEnd(content: Buffer, keyAt: number, start: number): number | undefined {
  if (content[keyAt - 1] !== comma) return undefined;
  const colonAt = content.lastIndexOf(colon, keyAt - 2);
  const digits = content.toString('latin1', colonAt + 1, keyAt - 1);
  if (digits.length > longestLength || !/^\d+$/.test(digits)) return undefined;
  if (!content.subarray(colonAt + 1 - lengthKey.length, colonAt + 1).equals(lengthKey)) return undefined;
  const end = start + Number(digits);
  return content[end] === comma || content[end] === closingBrace ? end : undefined;
}

/** A tree is scanned as if it stood in two objects, as an answer's does. */
const treeDepth = 2;
const openContainers = new Uint8Array(deepest).fill(objectMark, 0, treeDepth);

/** The offset after the value that begins at `start`, without the white space behind it. */
function endOfValue(content: Buffer, start: number): number {
  // What is no container ends where blocks would not stop: at a comma.
  return meaning[content[start] ?? 0] === 1 ? endOfContainer(content, start) : endOfRest(content, start, 0);
}

/** The same where a bracket stands at `start`: most of it is taken in blocks, three times as fast as byte by byte. */
function endOfContainer(content: Buffer, start: number): number {
  let at = start;
  let before = beforeValue;
  let depth = treeDepth;
  const blocks = jsonBlocks();
  blocks.begin();
  // The tree's last bracket is in a block that is not taken, since it would leave the tree.
  while (content.length - at >= blockBytes) {
    const stopped = blocks.scan(content, at, before, openContainers, depth, openContainers.length, treeDepth + 1);
    before = blocks.state;
    depth = blocks.depth;
    if (stopped === at) break;
    at = stopped;
  }
  if ((before & inString) !== 0) at = endOfString(content, at - 1);
  return endOfRest(content, at, depth - treeDepth);
}

/** The same from within the value, outside of strings, where it has so many open brackets. */
function endOfRest(content: Buffer, start: number, open: number): number {
  let depth = open;
  let at = start;
  while (at < content.length) {
    const byte = content[at] ?? 0;
    if (byte === quote) {
      at = endOfString(content, at);
      if (depth === 0) return at;
      continue;
    }
    // A bracket and a brace differ in this bit alone: 0x5b and 0x7b open, 0x5d and 0x7d close.
    const kind = byte | 0x20;
    if (kind === 0x7b) depth += 1;
    else if (kind === 0x7d) {
      // The bracket of what the value stands in.
      if (depth === 0) return at;
      depth -= 1;
      if (depth === 0) return at + 1;
    } else if (depth === 0 && byte === comma) return at;
    at += 1;
  }
  return content.length;
}
