// The JSON of a tree, byte for byte what JSON.stringify makes of it, written straight into the bytes that go to stdout. Half
// of a driver's time was JSON.stringify and encoding its string: most of a tree is the same few names and places, which
// are copied eight bytes at a time here. What is not known to be plain it leaves to JSON.stringify.
//
// A large answer is handed on in pieces: whoever reads it need not wait for the last of it. What was handed on cannot be
// taken back, so that nothing may fail on the way that a source can bring about: no tree is too large, and none too deep.
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

/**
 * The buffer has this many bytes; what is in it is handed on when it is full. It is less than what the kernel keeps of a
 * socket's bytes before the writer must wait, and most answers are smaller.
 */
const pieceBytes = 192 * 1024;
/** Before each member there is room for its name, a number or a place, and for what is written beyond their ends. */
const slack = 1024;
/**
 * In deeper trees than this nothing is handed on but the whole answer: the stack might run out within the writing, and
 * then nobody would know how much has been written.
 */
const shallow = 500;
/** Longer strings are quicker quoted and encoded by Node. */
const shortString = 48;

let bytes;
let view;
let at = 0;
/** From here on there is no room for another member. */
let full = 0;
/** Takes bytes, which are overwritten afterwards. */
let write;
/** Bytes of the answer that were handed on; of these, how many are still to be made once more. */
let handedOn = 0;
let toSkip = 0;
/** How many containers are open. */
let depth = 0;

function use(buffer) {
  bytes = buffer;
  view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
  full = buffer.length - slack;
}
use(Buffer.allocUnsafeSlow(pieceBytes));

/** Hands on what there is. */
function handOn() {
  const skipped = Math.min(toSkip, at);
  if (at > skipped) write(bytes.subarray(skipped, at));
  toSkip -= skipped;
  handedOn += at - skipped;
  at = 0;
}

/** Makes room for `count` more bytes, and some. */
function makeRoom(count) {
  if (depth < shallow) handOn();
  const needed = at + count + slack;
  if (needed <= bytes.length) return;
  const larger = Buffer.allocUnsafeSlow(Math.max(needed, bytes.length * 2));
  bytes.copy(larger, 0, 0, at);
  use(larger);
}

/** The words beyond a constant's end are overwritten by what comes next. */
function put({ words, length }) {
  for (let index = 0, to = at; index < words.length; index += 1, to += 8) view.setFloat64(to, words[index], true);
  at += length;
}

/**
 * Writes a count at an offset; returns the offset behind it. What is written beyond its end is overwritten by what comes
 * next.
 */
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

/** Writes text as it is. */
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

/** Writes the name of a member that is not the one that came last time; returns its step. */
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
/** Writes a member's name, with the comma before it; returns its step. */
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

/** Writes a member `loc` without what it has besides its start and its end. */
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

/** Room for what of a place has no bound: a name whose characters are all escaped. */
function makeRoomFor({ identifierName }) {
  const most = typeof identifierName === 'string' ? identifierName.length * 18 : 0;
  if (at + most > full) makeRoom(most);
}

/** Writes what comes behind a place's start and end. */
function putPlaceName({ identifierName }) {
  if (identifierName !== undefined) {
    put(placeName);
    putValue(identifierName);
  }
  bytes[at++] = 0x7d;
}

/**
 * Writes what Babel makes most of. The classes are constants of what this returns: V8 then looks at an object's prototype
 * where it would else call what decides about any class.
 */
function writerOf({ node: Node, place: Place }) {
  /** Whether a value is a place as Babel makes them, in a file without a name: all positions are made by one constructor. */
  function isPlace(value) {
    return value instanceof Place && isPosition(value.start) && isPosition(value.end) && value.filename === undefined;
  }

  /** Writes a member `loc`; returns false, and has written nothing, where it is no such place. */
  function putPlace(value) {
    if (!isPlace(value)) return false;
    makeRoomFor(value);
    at = placeAt(at, value);
    putPlaceName(value);
    return true;
  }

  /** Writes a node; returns false, and has written nothing, where it is none as nodes are. */
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
          // In another order: nothing of it has been handed on.
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

/** Before a tree of Babel's has been seen. */
const nobody = { putNode: () => false, putPlace: () => false };
let writer = nobody;

/** The same as putValue, slower, but for trees that nest deeper than the stack. */
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
 * Makes the line of an answer, with its line end.
 * @param {{ ast: unknown }} answer whose other members are small
 * @param {(bytes: Buffer) => void} to takes the line in pieces, each of which is overwritten by the next
 * @returns how many bytes the line has
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
    // From the beginning, without what has been handed on: it would be the same.
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
