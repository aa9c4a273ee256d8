// Writes the JSON of a tree, byte for byte as JSON.stringify makes it, into the buffer that goes to stdout. JSON.stringify
// with the encoding of its string took half of the driver's time; here the names and places that most of a tree consists
// of are copied eight bytes at a time. Anything unusual is left to JSON.stringify.
//
// A large answer is written out in pieces, so that its reader can begin early. Pieces cannot be taken back, so nothing that
// a source can cause may fail in between: no tree is too large or too deep.
'use strict';
const {
  beginning,
  constant,
  digitCounts,
  digits,
  elsewhere,
  headOf,
  newStep,
  paddedDigits,
} = require('./constants.cjs');
const { classesOf, isCount, isLeftOut, isRecord, nodeMembers } = require('./records.cjs');

/** The size of the buffer, in bytes: less than the kernel's buffer of a socket, and more than most answers. */
const pieceBytes = 192 * 1024;
/** The room that there is before each member: for its name, a number or a place, and the padding after them. */
const slack = 1024;
/** Deeper in a tree nothing is written out: the stack might be exhausted within the write, with an unknown part written. */
const shallow = 500;
/** Node is faster at quoting and encoding longer strings. */
const shortString = 48;

let bytes;
let view;
let at = 0;
/** The offset from which on there is no room for another member. */
let full = 0;
/** Writes bytes out. The buffer is overwritten afterwards. */
let write;
/** How many bytes of the answer were written out, and how many of those are still to be made again and skipped. */
let handedOn = 0;
let toSkip = 0;
/** How many objects and arrays are open. */
let depth = 0;

function use(buffer) {
  bytes = buffer;
  view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  full = buffer.length - slack;
}
use(Buffer.allocUnsafeSlow(pieceBytes));

function handOn() {
  const skipped = Math.min(toSkip, at);
  if (at > skipped) write(bytes.subarray(skipped, at));
  toSkip -= skipped;
  handedOn += at - skipped;
  at = 0;
}

/** Makes room for `count` more bytes and the slack. */
function makeRoom(count) {
  if (depth < shallow) handOn();
  const needed = at + count + slack;
  if (needed <= bytes.length) return;
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, bytes.length * 2));
  bytes.copy(larger, 0, 0, at);
  use(larger);
}

/** Writes a constant. The padding after it is overwritten by the next text. */
function put({ words, length }) {
  for (let index = 0, to = at; index < words.length; index += 1, to += 8) view.setFloat64(to, words[index], true);
  at += length;
}

/** Writes a count at an offset and returns the offset after it. The padding is overwritten by the next text. */
function countAt(to, count) {
  let rest = count;
  if (rest >= 1000) {
    let thousands = (rest / 1000) | 0;
    rest -= thousands * 1000;
    if (thousands >= 1000) {
      const millions = (thousands / 1000) | 0;
      thousands -= millions * 1000;
      view.setUint32(to, digits[millions], true);
      to += digitCounts[millions];
      view.setUint32(to, paddedDigits[thousands], true);
      to += 3;
    } else {
      view.setUint32(to, digits[thousands], true);
      to += digitCounts[thousands];
    }
    view.setUint32(to, paddedDigits[rest], true);
    return to + 3;
  }
  view.setUint32(to, digits[rest], true);
  return to + digitCounts[rest];
}

function putText(text) {
  if (at + text.length * 3 > full) makeRoom(text.length * 3);
  at += bytes.write(text, at, 'utf8');
}

function putString(text) {
  const { length } = text;
  if (length > shortString) {
    putText(JSON.stringify(text));
    return;
  }
  let to = at;
  bytes[to++] = 0x22;
  for (let index = 0; index < length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x20 || unit > 0x7e || unit === 0x22 || unit === 0x5c) {
      putText(JSON.stringify(text));
      return;
    }
    bytes[to++] = unit;
  }
  bytes[to++] = 0x22;
  at = to;
}

/** Writes the name of a member that is not the one of last time. Returns its step. */
function putName(before, name) {
  const others = (before.others ??= new Map());
  let step = others.get(name);
  if (step === undefined) {
    const text = `${before === beginning ? '' : ','}${JSON.stringify(name)}:`;
    step = newStep(name, text);
    if (step === undefined) {
      putText(text);
      return elsewhere;
    }
    others.set(name, step);
  }
  before.next = step;
  put(step);
  return step;
}

/** Writes a member's name, with the comma before it. Returns its step. */
function putMember(before, name) {
  const { next } = before;
  if (next === undefined || next.name !== name) return putName(before, name);
  put(next);
  return next;
}

function putObject(value) {
  if (writer.putNode(value)) return;
  if (!isRecord(value)) {
    putText(JSON.stringify(value) ?? 'null');
    return;
  }
  depth += 1;
  bytes[at++] = 0x7b;
  let step = beginning;
  for (const name in value) {
    const member = value[name];
    if (isLeftOut(member)) continue;
    if (at > full) makeRoom(0);
    if (name === 'loc' && step !== beginning && writer.putPlace(member)) continue;
    step = putMember(step, name);
    putValue(member);
  }
  if (at > full) makeRoom(0);
  bytes[at++] = 0x7d;
  depth -= 1;
}

function putArray(values) {
  depth += 1;
  bytes[at++] = 0x5b;
  for (let index = 0; index < values.length; index += 1) {
    if (at > full) makeRoom(0);
    if (index > 0) bytes[at++] = 0x2c;
    const value = values[index];
    if (isLeftOut(value)) putText('null');
    else putValue(value);
  }
  if (at > full) makeRoom(0);
  bytes[at++] = 0x5d;
  depth -= 1;
}

function putValue(value) {
  if (typeof value === 'string') putString(value);
  else if (isCount(value)) at = countAt(at, value);
  else if (typeof value !== 'object' || value === null) putText(JSON.stringify(value));
  else if (Array.isArray(value)) putArray(value);
  else putObject(value);
}

const [endWord] = constant(',"end":').words;
const placeWords = constant(',"loc":{"start":{"line":').words;
const columnWords = constant(',"column":').words;
const indexWords = constant(',"index":').words;
const untilWords = constant('},"end":{"line":').words;
const placeName = constant(',"identifierName":');

function positionAt(to, { line, column, index }) {
  to = countAt(to, line);
  view.setFloat64(to, columnWords[0], true);
  view.setFloat64(to + 8, columnWords[1], true);
  to = countAt(to + 10, column);
  view.setFloat64(to, indexWords[0], true);
  view.setFloat64(to + 8, indexWords[1], true);
  return countAt(to + 9, index);
}

/** Writes the start and end of a member `loc` at an offset and returns the offset after them. */
function placeAt(to, { start, end }) {
  view.setFloat64(to, placeWords[0], true);
  view.setFloat64(to + 8, placeWords[1], true);
  view.setFloat64(to + 16, placeWords[2], true);
  to = positionAt(to + 24, start);
  view.setFloat64(to, untilWords[0], true);
  view.setFloat64(to + 8, untilWords[1], true);
  to = positionAt(to + 16, end);
  bytes[to] = 0x7d;
  return to + 1;
}

function isPosition(value) {
  return (
    typeof value === 'object' && value !== null && isCount(value.line) && isCount(value.column) && isCount(value.index)
  );
}

/** Makes room for the only part of a place without a bound: a name, whose characters may all be escaped. */
function makeRoomFor({ identifierName }) {
  const most = typeof identifierName === 'string' ? identifierName.length * 18 : 0;
  if (at + most > full) makeRoom(most);
}

/** Writes the rest of a place, after its start and end. */
function putPlaceName({ identifierName }) {
  if (identifierName !== undefined) {
    put(placeName);
    putValue(identifierName);
  }
  bytes[at++] = 0x7d;
}

/**
 * The functions that write nodes and places of Babel's. The classes are constants in them: V8 then compares prototypes for
 * `instanceof`, and otherwise would make a call.
 */
function writerOf({ node: Node, place: Place }) {
  /** Whether a value is a place as Babel makes them for a source without a file name. */
  function isPlace(value) {
    return value instanceof Place && isPosition(value.start) && isPosition(value.end) && value.filename === undefined;
  }

  /** Writes a member `loc`. Returns false, with nothing written, if it is not such a place. */
  function putPlace(value) {
    if (!isPlace(value)) return false;
    makeRoomFor(value);
    at = placeAt(at, value);
    putPlaceName(value);
    return true;
  }

  /** Writes a node. Returns false, with nothing written, if a value is not a usual node. */
  function putNode(value) {
    if (!(value instanceof Node)) return false;
    const { type, start, end, loc } = value;
    if (typeof type !== 'string' || !isCount(start) || !isCount(end) || !isPlace(loc)) return false;
    const head = headOf(type);
    if (head === undefined) return false;
    makeRoomFor(loc);
    const before = at;
    put(head);
    const to = countAt(at, start);
    view.setFloat64(to, endWord, true);
    at = placeAt(countAt(to + 7, end), loc);
    putPlaceName(loc);
    depth += 1;
    let step = head;
    let index = 0;
    for (const name in value) {
      if (index < nodeMembers.length) {
        if (name !== nodeMembers[index]) {
          // Members in another order. Nothing of it was written out yet.
          at = before;
          depth -= 1;
          return false;
        }
        index += 1;
        continue;
      }
      const member = value[name];
      if (isLeftOut(member)) continue;
      if (at > full) makeRoom(0);
      step = putMember(step, name);
      putValue(member);
    }
    if (at > full) makeRoom(0);
    bytes[at++] = 0x7d;
    depth -= 1;
    return true;
  }

  return { putNode, putPlace };
}

/** The writer until the first tree of Babel's. */
const nobody = { putNode: () => false, putPlace: () => false };
let writer = nobody;

/** As putValue, but slower and without recursion, for trees that are deeper than the stack. */
function putDeep(root) {
  const open = [];
  const enter = (value) => {
    if (at > full) makeRoom(0);
    if (Array.isArray(value)) {
      bytes[at++] = 0x5b;
      open.push({ names: undefined, values: value, index: 0 });
    } else if (typeof value === 'object' && value !== null && isRecord(value)) {
      bytes[at++] = 0x7b;
      const names = Object.keys(value).filter((name) => !isLeftOut(value[name]));
      open.push({ names, values: names.map((name) => value[name]), index: 0 });
    } else putText(JSON.stringify(value) ?? 'null');
  };
  enter(root);
  for (let inner = open.at(-1); inner !== undefined; inner = open.at(-1)) {
    const { names, values, index } = inner;
    if (index === values.length) {
      if (at > full) makeRoom(0);
      bytes[at++] = names === undefined ? 0x5d : 0x7d;
      open.pop();
      continue;
    }
    inner.index += 1;
    putText(index > 0 ? ',' : '');
    if (names !== undefined) putText(`${JSON.stringify(names[index])}:`);
    enter(values[index]);
  }
}

/**
 * Writes an answer as a line.
 * @param {{ ast: unknown }} answer whose other members are small
 * @param {(bytes: Buffer) => void} to is called with the line in pieces, each of which is overwritten by the next
 * @returns the length of the line in bytes
 */
function writeAnswer({ ast, ...envelope }, to) {
  at = depth = handedOn = toSkip = 0;
  write = to;
  if (bytes.length > pieceBytes) use(Buffer.allocUnsafeSlow(pieceBytes));
  if (writer === nobody) {
    const classes = classesOf(ast);
    if (classes !== undefined) writer = writerOf(classes);
  }
  const head = `${JSON.stringify(envelope).slice(0, -1)},"ast":`;
  putText(head);
  try {
    putValue(ast);
  } catch (error) {
    if (!(error instanceof RangeError) || !error.message.includes('call stack')) throw error;
    // Begins again, and skips the bytes that were written out: they are the same.
    toSkip = handedOn;
    at = depth = 0;
    putText(head);
    putDeep(ast);
  }
  if (at > full) makeRoom(0);
  bytes[at++] = 0x7d;
  bytes[at++] = 0x0a;
  handOn();
  return handedOn;
}

module.exports = { writeAnswer };
