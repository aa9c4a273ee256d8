// Classifies a tree's values for JSON: those that it leaves out, objects that consist of their members only, and Babel's
// nodes and places, whose members are in a known order.
'use strict';

/** Whether JSON leaves out a member with this value, and has null for it in an array. */
function isLeftOut(value) {
  return value === undefined || typeof value === 'function' || typeof value === 'symbol';
}

/** Whether a value is a whole number below 1e9, or -0, which is 0 in JSON. */
function isCount(value) {
  return typeof value === 'number' && (value | 0) === value && value >= 0 && value < 1_000_000_000;
}

/** Whether JSON.stringify writes the own members, and nothing else, of objects with this prototype. */
function isPlain(prototype) {
  if (prototype === null || typeof prototype.toJSON === 'function') return false;
  for (const _name in Object.create(prototype)) return false;
  // Instances of a plain class too. Maps, dates and boxed values are in `plain` as false.
  return prototype === Object.prototype || Object.getPrototypeOf(prototype) === Object.prototype;
}

/** The results of isPlain. Babel has few prototypes: of nodes, places and objects. */
const plain = new Map();
for (const each of [Number, String, Boolean, BigInt, Symbol, Date, RegExp, Map, Set]) plain.set(each.prototype, false);

/** Whether JSON.stringify writes an object's own members and nothing else. */
function isRecord(value) {
  const prototype = Object.getPrototypeOf(value);
  let known = plain.get(prototype);
  if (known === undefined) {
    known = isPlain(prototype);
    plain.set(prototype, known);
  }
  return known && !Object.hasOwn(value, 'toJSON');
}

/** The class of a record whose members begin with these names, in this order; undefined for anything else. */
function classOf(value, names) {
  if (typeof value !== 'object' || value === null || !isRecord(value)) return undefined;
  if (String(Object.keys(value).slice(0, names.length)) !== String(names)) return undefined;
  const { constructor } = value;
  const isItsClass = typeof constructor === 'function' && constructor.prototype === Object.getPrototypeOf(value);
  return isItsClass && constructor !== Object ? constructor : undefined;
}

/** The first members of every node of Babel's. */
const nodeMembers = ['type', 'start', 'end', 'loc'];

/** The classes of a tree's nodes and places, by its root; undefined if it is not a tree of Babel's. */
function classesOf(root) {
  const node = classOf(root, nodeMembers);
  if (node === undefined) return undefined;
  const place = classOf(root.loc, ['start', 'end', 'filename', 'identifierName']);
  if (place === undefined || Object.keys(root.loc).length !== 4) return undefined;
  const isPosition = classOf(root.loc.start, ['line', 'column', 'index']) !== undefined;
  return isPosition && Object.keys(root.loc.start).length === 3 ? { node, place } : undefined;
}

module.exports = { classesOf, isCount, isLeftOut, isRecord, nodeMembers };
