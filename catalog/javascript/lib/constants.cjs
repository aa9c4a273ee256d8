// Texts that are written again and again, ready to be copied eight bytes at a time: members' names, types, and digits.
'use strict';

/** Kinds of nodes are few; a tree that has very many, with keys of no parser's making, does not fill the memory. */
const mostSteps = 16_384;
const longestConstant = 200;

/** A text that is written often: its ASCII in words of eight bytes, the last one padded. */
function constant(text) {
  const padded = Buffer.alloc(Math.ceil(text.length / 8) * 8);
  padded.write(text, 'latin1');
  // As numbers they are written eight bytes at once. ASCII makes no NaN, whose bits might be changed on the way.
  const words = Array.from({ length: padded.length / 8 }, (_, index) => padded.readDoubleLE(index * 8));
  return { words, length: text.length };
}

/**
 * What is written again and again, `"name":`, `,"name":` or what a node begins with, by what was written before it in the
 * same object: nodes of one type have the same members in the same order, so that the one that came last time mostly comes
 * again.
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

/** Before the first member of an object, and behind a member that has no step of its own. */
const beginning = new Step('', constant(''));
const elsewhere = new Step('', constant(''));
let steps = 0;

/** The step with a text, unless it is no plain ASCII, is long, or is one too many. */
function newStep(name, text) {
  if (text.length > longestConstant || steps >= mostSteps) return undefined;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x20 || unit > 0x7e) return undefined;
  }
  steps += 1;
  return new Step(name, constant(text));
}

/** What nodes begin with, by their type: up to the number behind `"start":`. */
const heads = new Map();
/** The same by a few letters of the type, for those that were asked for last. */
const lastHeads = new Array(256).fill(undefined);

/** What nodes of a type begin with, a step; undefined where there is none. */
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

module.exports = { beginning, constant, digitCounts, digits, elsewhere, headOf, newStep, paddedDigits };
