// Texts that occur often in an answer (members' names, types, digits), stored so that they are copied eight bytes at a time.
'use strict';

/** More than all kinds of nodes need: a tree with very many different keys does not fill the memory. */
const mostSteps = 16_384;
const longestConstant = 200;

/** A text's ASCII in words of eight bytes, the last one padded. */
function constant(text) {
  const padded = Buffer.alloc(Math.ceil(text.length / 8) * 8);
  padded.write(text, 'latin1');
  // As doubles: ASCII makes no NaN, whose bits the engine may change.
  const words = Array.from({ length: padded.length / 8 }, (_, index) => padded.readDoubleLE(index * 8));
  return { words, length: text.length };
}

/**
 * `"name":`, `,"name":` or the beginning of a node, with the step that followed it last time in an object: nodes of one
 * type have the same members in the same order, so it mostly follows again.
 */
class Step {
  constructor(name, { words, length }) {
    this.name = name;
    this.words = words;
    this.length = length;
    this.next = undefined;
    this.others = undefined;
  }
}

/** The steps before the first member of an object, and after a member without a step of its own. */
const beginning = new Step('', constant(''));
const elsewhere = new Step('', constant(''));
let steps = 0;

/** A step with a text; undefined if that is long or not plain ASCII, or if there are too many steps. */
function newStep(name, text) {
  if (text.length > longestConstant || steps >= mostSteps) return undefined;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x20 || unit > 0x7e) return undefined;
  }
  steps += 1;
  return new Step(name, constant(text));
}

/** The beginnings of nodes by their type, up to the number after `"start":`. */
const heads = new Map();
/** Those used last, by a hash of the type. */
const lastHeads = new Array(256).fill(undefined);

/** The step of the beginning of a node; undefined if the type can have none. */
function headOf(type) {
  const { length } = type;
  const place = (length * 31 + type.charCodeAt(length >> 1) * 7 + type.charCodeAt(0)) & 255;
  const last = lastHeads[place];
  if (last !== undefined && last.type === type) return last.step;
  let head = heads.get(type);
  if (head === undefined) {
    const step = newStep('loc', `{"type":${JSON.stringify(type)},"start":`);
    if (step === undefined) return undefined;
    head = { type, step };
    heads.set(type, head);
  }
  lastHeads[place] = head;
  return head.step;
}

/** The digits of numbers below a thousand as little-endian words: without and with leading zeros. */
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

module.exports = { beginning, constant, digitCounts, digits, elsewhere, headOf, newStep, paddedDigits };
