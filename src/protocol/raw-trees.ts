// Decodes a host's message except its trees, which stay bytes: a client that writes them to a file or a pipe need not
// decode and encode them.
import { freeMemory } from '../base/memory.ts';
import { RawJson } from '../json/raw-json.ts';
import { JsonScanner, type Span } from '../json/scanner.ts';

const colon = 0x3a;
const comma = 0x2c;
const closingBrace = 0x7d;
const nothing = Buffer.from('null');

/** Deeper trees are decoded, unless the host gives their length. */
const depthLimit = 1_000_000;

/**
 * The depth of a tree by the outermost member that has it: in `result`, or in an element of `params.value`
 * (`parse/files`). A `uast` that is deeper may be a driver's, as in `errors`, and must not make the client skip anything.
 */
const treeDepths: ReadonlyMap<string, number> = new Map([
  ['result', 2],
  ['params', 4],
]);

/**
 * The message that `content` is, with a RawJson for each tree of a parse result.
 * @param content JSON in UTF-8, made by a host: trees whose length it gives are not checked
 * @param content is freed when every tree in it has been (RawJson.free)
 * @throws SyntaxError where what is decoded is not JSON
 */
export function decodeWithRawTrees(content: Buffer): unknown {
  const spans = findTrees(content);
  if (spans.length === 0) return JSON.parse(content.toString('utf8'));
  const rest: Buffer[] = [];
  let kept = 0;
  for (const { start, end } of spans) {
    rest.push(content.subarray(kept, start), nothing);
    kept = end;
  }
  rest.push(content.subarray(kept));
  const message: unknown = JSON.parse(Buffer.concat(rest).toString('utf8'));
  const holders = holdersOf(message);
  // Something else at the same depth has a `uast`: rare enough to decode the message whole.
  if (holders.length !== spans.length) return JSON.parse(content.toString('utf8'));
  let unread = spans.length;
  const free = (): void => {
    unread -= 1;
    if (unread === 0) freeMemory([content]);
  };
  for (const [index, { start, end }] of spans.entries()) {
    (holders[index] as { uast: unknown }).uast = new RawJson([content.subarray(start, end)], free);
  }
  return message;
}

/** Where the trees are; none where the message is not JSON, for which JSON.parse then throws. */
function findTrees(content: Buffer): Span[] {
  const trees: Span[] = [];
  let treeDepth: number | undefined;
  const scanner = new JsonScanner({
    depthLimit,
    onName: (name, depth, end) => {
      if (depth === 1) {
        treeDepth = treeDepths.get(name);
        scanner.memberDepth = treeDepth ?? 1;
      }
      const told = depth === treeDepth && name === 'uast' ? toldEnd(content, end) : undefined;
      if (told === undefined) return undefined;
      trees.push({ start: end + 1, end: told });
      return { valueEnd: told };
    },
    onMember: (name, depth, span) => {
      if (depth === treeDepth && name === 'uast') trees.push(span);
    },
  });
  scanner.feed(content);
  return scanner.fault === undefined ? trees : [];
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

/** How the host gives a tree's length, right before the tree, in `longestTold` bytes at most. */
const toldLength = /"uastBytes":(\d{1,10}),"uast"$/;
const longestTold = 30;

/**
 * The offset behind a tree whose length was given; undefined where none was, or a wrong one.
 * @param nameEnd behind the quote of the tree's name
 */
function toldEnd(content: Buffer, nameEnd: number): number | undefined {
  const before = content.toString('latin1', Math.max(nameEnd - longestTold, 0), nameEnd);
  const end = nameEnd + 1 + Number(toldLength.exec(before)?.[1]);
  const canBe = content[nameEnd] === colon && (content[end] === comma || content[end] === closingBrace);
  return canBe ? end : undefined;
}
