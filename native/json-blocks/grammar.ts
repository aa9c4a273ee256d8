// RFC 8259's grammar, as a table: for each state and byte the next state, or an action, or the fault that it is.
import { table } from './memory';

export enum State {
  // Between tokens and within strings: blocks begin and end in these, and are told their bits apart.
  value = 1, name = 2, colon = 4, afterValue = 8,
  /** With value or name: a bracket was opened, and may be closed at once. */
  opened = 16,
  inString = 32,
  /** With inString, or within an escape: the string is a member's name. */
  inName = 64,
  // Within escapes, numbers and words, and behind everything.
  done = 128, escape = 129, // and four states for the digits behind \u
  minus = 136, zero, integer, point, fraction, exponent, exponentSign, exponentDigits,
  trueWord = 144, falseWord = 147, nullWord = 151,
}

export enum Action {
  first = 208,
  opensArray = 208, opensObject, closes, comma, nameEnds, valueEnds, newline, lineEnds,
  /** The byte is behind the number. */
  numberEnds,
}

/** src/json/scanner.ts has a reason for each, in this order. */
export enum Fault {
  first = 224,
  value = 224, name, colon, separator, controlCharacter, escape, hexadecimal, word, number, trailing, emptyLine, tooDeep,
}

// @ts-ignore: a decorator of AssemblyScript
@inline
export function next(state: i32, byte: i32): i32 {
  return load<u8>(table + ((state << 8) | byte));
}

/** What all bytes are in a state, but for those that a rule names. */
function otherwise(state: i32, to: i32): void {
  memory.fill(table + (state << 8), <u8>to, 256);
}

function rule(state: i32, bytes: string, to: i32): void {
  for (let index = 0; index < bytes.length; index += 1) {
    store<u8>(table + ((state << 8) | bytes.charCodeAt(index)), <u8>to);
  }
}

function between(state: i32, fault: i32): void {
  otherwise(state, fault);
  rule(state, ' \t\r', state);
  rule(state, '\n', Action.newline);
}

function word(state: i32, rest: string): void {
  for (let index = 0; index < rest.length; index += 1) {
    otherwise(state + index, Fault.word);
    rule(state + index, rest.charAt(index), index == rest.length - 1 ? Action.valueEnds : state + index + 1);
  }
}

function quoted(state: i32, name: i32, ends: i32): void {
  otherwise(state, state);
  memory.fill(table + (state << 8), <u8>Fault.controlCharacter, 0x20);
  rule(state, '"', ends);
  rule(state, '\\', State.escape | name);
  otherwise(State.escape | name, Fault.escape);
  rule(State.escape | name, '"\\/bfnrt', state);
  rule(State.escape | name, 'u', (State.escape + 1) | name);
  for (let digit = State.escape + 1; digit <= State.escape + 4; digit += 1) {
    otherwise(digit | name, Fault.hexadecimal);
    rule(digit | name, '0123456789abcdefABCDEF', digit == State.escape + 4 ? state : (digit + 1) | name);
  }
}

function number(state: i32, other: i32, digit: i32): void {
  otherwise(state, other);
  rule(state, '0123456789', digit);
}

for (let state: i32 = State.value; state <= (State.value | State.opened); state += State.opened) {
  between(state, Fault.value);
  rule(state, '"', State.inString);
  rule(state, '[', Action.opensArray);
  rule(state, '{', Action.opensObject);
  rule(state, '-', State.minus);
  rule(state, '0', State.zero);
  rule(state, '123456789', State.integer);
  rule(state, 't', State.trueWord);
  rule(state, 'f', State.falseWord);
  rule(state, 'n', State.nullWord);
}
rule(State.value | State.opened, ']', Action.closes);
for (let state: i32 = State.name; state <= (State.name | State.opened); state += State.opened) {
  between(state, Fault.name);
  rule(state, '"', State.inString | State.inName);
}
rule(State.name | State.opened, '}', Action.closes);
between(State.colon, Fault.colon);
rule(State.colon, ':', State.value);
between(State.afterValue, Fault.separator);
rule(State.afterValue, ',', Action.comma);
rule(State.afterValue, ']}', Action.closes);
between(State.done, Fault.trailing);
quoted(State.inString, 0, Action.valueEnds);
quoted(State.inString | State.inName, State.inName, Action.nameEnds);
word(State.trueWord, 'rue');
word(State.falseWord, 'alse');
word(State.nullWord, 'ull');
number(State.minus, Fault.number, State.integer);
rule(State.minus, '0', State.zero);
number(State.zero, Action.numberEnds, Fault.number);
number(State.integer, Action.numberEnds, State.integer);
number(State.point, Fault.number, State.fraction);
number(State.fraction, Action.numberEnds, State.fraction);
number(State.exponent, Fault.number, State.exponentDigits);
rule(State.exponent, '+-', State.exponentSign);
number(State.exponentSign, Fault.number, State.exponentDigits);
number(State.exponentDigits, Action.numberEnds, State.exponentDigits);
for (let state: i32 = State.zero; state <= State.fraction; state += 1) {
  if (state == State.point) continue;
  if (state != State.fraction) rule(state, '.', State.point);
  rule(state, 'eE', State.exponent);
}

/** The end of the number or word at `at`; 0 where it is malformed or not whole before `end`. */
export function scalarEnd(at: usize, end: usize): usize {
  // Words and digits by themselves: trees have many.
  const word = load<u32>(at);
  if (word == 0x65757274 || word == 0x6c6c756e) at += 4; // true, null
  else if (word == 0x736c6166 && load<u8>(at + 4) == 0x65) at += 5; // false
  else {
    let state = next(State.value, load<u8>(at));
    while (state < Action.first && at < end) {
      at += 1;
      // What lies behind the end is readable, and has an end.
      if (state == State.integer || state == State.fraction) while (load<u8>(at) - 0x30 < 10) at += 1;
      state = next(state, load<u8>(at));
    }
    if (state != Action.numberEnds) return 0;
  }
  return at < end && next(State.afterValue, load<u8>(at)) < Fault.first ? at : 0;
}

/** Whether a backslash at `at` begins a whole escape before `end`. */
export function isEscape(at: usize, end: usize): bool {
  let state: i32 = State.escape;
  do {
    at += 1;
    if (at >= end) return false;
    state = next(state, load<u8>(at));
  } while (state > State.escape && state < Action.first);
  return state == State.inString;
}
