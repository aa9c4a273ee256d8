// What a tree's values are to JSON: which of them it leaves out, which objects are no more than their members, and which are
// nodes and places of Babel's, whose members and their order are known.
'use strict';

/** Whether JSON leaves a member with this value out, and has null for it in an array. */
function isLeftOut(value) {
  return value === undefined || typeof value === 'function' || typeof value === 'symbol';
}

/** Whether a value is a whole number below a thousand million. Also -0, which is 0 in JSON. */
function isCount(value) {
  return typeof value === 'number' && (value | 0) === value && value >= 0 && value < 1_000_000_000;
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
for (const each of [Number, String, Boolean, BigInt, Symbol, Date, RegExp, Map, Set]) plain.set(each.prototype, false);

/** Whether an object is no more than its members. */
function isRecord(value) {
  const prototype = Object.getPrototypeOf(value);
  let known = plain.get(prototype);
  if (known === undefined) {
    known = isPlain(prototype);
    plain.set(prototype, known);
  }
  return known && !Object.hasOwn(value, 'toJSON');
}

/** The class of an object whose members are first of all these, in this order, where it has one and is a record. */
function classOf(value, names) {
  if (typeof value !== 'object' || value === null || !isRecord(value)) return undefined;
  if (String(Object.keys(value).slice(0, names.length)) !== String(names)) return undefined;
  const { constructor } = value;
  const isItsClass = typeof constructor === 'function' && constructor.prototype === Object.getPrototypeOf(value);
  return isItsClass && constructor !== Object ? constructor : undefined;
}

/** What every node of Babel's has, before all else. */
const nodeMembers = ['type', 'start', 'end', 'loc'];

/** The classes of a tree's nodes and of their places, by its outermost node; undefined if it is no tree of Babel's. */
function classesOf(root) {
  const node = classOf(root, nodeMembers);
  if (node === undefined) return undefined;
  const place = classOf(root.loc, ['start', 'end', 'filename', 'identifierName']);
  if (place === undefined || Object.keys(root.loc).length !== 4) return undefined;
  const isPosition = classOf(root.loc.start, ['line', 'column', 'index']) !== undefined;
  return isPosition && Object.keys(root.loc.start).length === 3 ? { node, place } : undefined;
}

module.exports = { classesOf, isCount, isLeftOut, isRecord, nodeMembers };
