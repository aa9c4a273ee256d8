// The JSON of a tree, byte for byte what JSON.stringify makes of it, written straight into the bytes that go to stdout. Half
// of a driver's time was JSON.stringify and encoding its string: most of a tree is the same few names and places, which
// are copied eight bytes at a time here. What is not known to be plain it leaves to JSON.stringify.
//
// A large answer is handed on in pieces: whoever reads it need not wait for the last of it. What was handed on cannot be
// taken back, so that nothing may fail on the way that a source can bring about: no tree is too large, and none too deep.
'use strict';

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
/** Kinds of nodes are few; a tree that has very many, with keys of no parser's making, does not fill the memory. */
const mostSteps = 16_384;
const longestConstant = 200;

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

/** A text that is written often: its ASCII in words of eight bytes, the last one padded. */
function constant(text) {
  const padded = Buffer.alloc(Math.ceil(text.length / 8) * 8);
  padded.write(text, 'latin1');
  // As numbers they are written eight bytes at once. ASCII makes no NaN, whose bits might be changed on the way.
  const words = Array.from({ length: padded.length / 8 }, (_, index) => padded.readDoubleLE(index * 8));
  return { words, length: text.length };
}

/** The words beyond a constant's end are overwritten by what comes next. */
function put({ words, length }) {
  for (let index = 0, to = at; index < words.length; index += 1, to += 8) view.setFloat64(to, words[index], true);
  at += length;
}

/** The digits of numbers below a thousand as they lie in memory: from the left, and with leading zeros. */
const digits = new Uint32Array(1000);
const paddedDigits = new Uint32Array(1000);
const digitCounts = new Uint8Array(1000);
for (let number = 0; number < 1000; number += 1) {
  const padded =
    0x30 + ((number / 100) | 0) + ((0x30 + (((number / 10) | 0) % 10)) << 8) + ((0x30 + (number % 10)) << 16);
  const count = number < 10 ? 1 : number < 100 ? 2 : 3;
  paddedDigits[number] = padded;
  digits[number] = padded >> (8 * (3 - count));
  digitCounts[number] = count;
}

/** Writes a whole number below a thousand million. What is written beyond its end is overwritten by what comes next. */
function putCount(number) {
  if (number >= 1000) {
    const thousands = (number / 1000) | 0;
    if (thousands >= 1000) {
      const millions = (thousands / 1000) | 0;
      view.setUint32(at, digits[millions], true);
      at += digitCounts[millions];
      view.setUint32(at, paddedDigits[thousands - millions * 1000], true);
      at += 3;
    } else {
      view.setUint32(at, digits[thousands], true);
      at += digitCounts[thousands];
    }
    view.setUint32(at, paddedDigits[number - thousands * 1000], true);
    at += 3;
    return;
  }
  view.setUint32(at, digits[number], true);
  at += digitCounts[number];
}

/** Also for -0, which is 0 in JSON. */
function isCount(value) {
  return typeof value === 'number' && (value | 0) === value && value >= 0 && value < 1_000_000_000;
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

/**
 * What is written again and again, `"name":`, `,"name":` or `"type":"name"`, by what was written before it in the same object:
 * nodes of one type have the same members in the same order, so that the one that came last time mostly comes again.
 */
class Step {
  constructor(name, words, length) {
    this.name = name;
    this.words = words;
    this.length = length;
    this.next = undefined;
    this.others = undefined;
  }
}
const beginning = new Step('', [], 0);
const types = new Map();
let steps = 0;

/** The step with a text, unless it is no plain ASCII, is long, or is one too many. */
function newStep(name, text) {
  if (text.length > longestConstant || steps >= mostSteps) return undefined;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x20 || unit > 0x7e) return undefined;
  }
  steps += 1;
  const { words, length } = constant(text);
  return new Step(name, words, length);
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
/** Where there is no step of its own. */
const elsewhere = new Step('', [], 0);

/** Writes the type, the first member; returns its step. */
function putType(type) {
  let step = types.get(type);
  if (step === undefined) {
    const text = `"type":${JSON.stringify(type)}`;
    step = newStep('type', text);
    if (step === undefined) {
      putText(text);
      return elsewhere;
    }
    types.set(type, step);
  }
  put(step);
  return step;
}

/** Whether objects with this prototype are no more than their own members, as JSON.stringify sees them. */
function isPlain(prototype) {
  if (prototype === null || typeof prototype.toJSON === 'function') return false;
  for (const _name in Object.create(prototype)) return false;
  // Maps, dates and boxed values have more to them; what a class declares is plain.
  return prototype === Object.prototype || Object.getPrototypeOf(prototype) === Object.prototype;
}

/** Prototypes that have been looked at. Babel's are few: nodes, places, and objects. */
const plain = new Map();
const builtIn = new Set(
  [Number, String, Boolean, BigInt, Symbol, Date, RegExp, Map, Set].map((each) => each.prototype),
);

/** That of Babel's nodes, once one has been seen: nothing extends it. To ask for a prototype takes longer. */
class None {}
let nodeClass = None;

/** Whether an object is no more than its members. */
function isRecord(value) {
  if (value instanceof nodeClass && value.toJSON === undefined) return true;
  const prototype = Object.getPrototypeOf(value);
  let known = plain.get(prototype);
  if (known === undefined) {
    known = isPlain(prototype) && !builtIn.has(prototype);
    plain.set(prototype, known);
    if (nodeClass === None && known && value.type !== undefined && isClass(value.constructor, prototype))
      nodeClass = value.constructor;
  }
  return known && !Object.hasOwn(value, 'toJSON');
}

/** Whether a function is the class that makes objects with a prototype. */
function isClass(constructor, prototype) {
  return typeof constructor === 'function' && constructor !== Object && constructor.prototype === prototype;
}

/** Whether JSON leaves a member with this value out, and has null for it in an array. */
function isLeftOut(value) {
  return value === undefined || typeof value === 'function' || typeof value === 'symbol';
}

function putObject(value) {
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
    if (name === 'loc' && step !== beginning && isPlace(member)) putPlace(member);
    else if (step === beginning && name === 'type' && typeof member === 'string') step = putType(member);
    else {
      const { next } = step;
      if (next !== undefined && next.name === name) {
        put(next);
        step = next;
      } else step = putName(step, name);
      putValue(member);
    }
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
  else if (isCount(value)) putCount(value);
  else if (typeof value !== 'object' || value === null) putText(JSON.stringify(value));
  else if (Array.isArray(value)) putArray(value);
  else putObject(value);
}

/** The shapes of Babel's places: the members of each, in their order. Others are written as any object. */
function isPosition(value) {
  return (
    typeof value === 'object' && value !== null && isCount(value.line) && isCount(value.column) && isCount(value.index)
  );
}
/** That of Babel's places, once one has been seen: all of them are made by one constructor, of positions made by another. */
let placeClass = None;

/** Whether a value is a place as Babel makes them, in a file without a name. */
function isPlace(value) {
  if (!(value instanceof placeClass)) {
    if (placeClass !== None || !hasMembers(value, ['start', 'end', 'filename', 'identifierName'])) return false;
    if (!hasMembers(value.start, ['line', 'column', 'index'])) return false;
    if (!isClass(value.constructor, Object.getPrototypeOf(value))) return false;
    placeClass = value.constructor;
  }
  return isPosition(value.start) && isPosition(value.end) && value.filename === undefined;
}

function hasMembers(value, names) {
  return (
    typeof value === 'object' &&
    value !== null &&
    ![Object.prototype, null].includes(Object.getPrototypeOf(value)) &&
    JSON.stringify(Object.keys(value)) === JSON.stringify(names)
  );
}

const placeStart = constant(',"loc":{"start":{"line":');
const placeEnd = constant('},"end":{"line":');
const placeColumn = constant(',"column":');
const placeIndex = constant(',"index":');
const placeName = constant(',"identifierName":');

function putPlace({ start, end, identifierName }) {
  put(placeStart);
  putCount(start.line);
  put(placeColumn);
  putCount(start.column);
  put(placeIndex);
  putCount(start.index);
  put(placeEnd);
  putCount(end.line);
  put(placeColumn);
  putCount(end.column);
  put(placeIndex);
  putCount(end.index);
  bytes[at++] = 0x7d;
  if (identifierName !== undefined) {
    put(placeName);
    putValue(identifierName);
  }
  bytes[at++] = 0x7d;
}

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
