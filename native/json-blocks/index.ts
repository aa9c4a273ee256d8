// The scanner of JSON, in AssemblyScript: src/json/scanner.ts feeds it pieces and is told of members and faults. It walks
// the bytes by the grammar's table; in the depth of a text, most of them go in blocks, ten times as fast.
//
// Hostile bytes cannot make it touch anything but its own memory: that is why it is WebAssembly and no native addon.
import { depth as depthOfBlocks, state as stateOfBlocks, takeBlocks } from './blocks';
import { Action, Fault, next, State } from './grammar';
import { context, nameBytes, nameText, piece, pieceBytes, stack, stackEnd } from './memory';


export const pieceAddress: usize = piece;
export const pieceLength: i32 = pieceBytes;
/**
 * What is known of the text, as src/json/scanner.ts has it: the state, the depth, what was stopped at, the length of the
 * name, and where in the piece the value of a told member began, or -1; the name; and a byte for each level.
 */
export const contextAddress: usize = context;

/** What a scan stops at, beside faults; src/json/scanner.ts has the same numbers. */
enum Stop { pieceEnd, memberName, memberEnd, lineEnd }

const blockBytes: usize = 64;
const object: u8 = 0xff;

if (__heap_base > context) unreachable();
memory.grow(4 - memory.size());

function behindValue(depth: i32): i32 {
  return depth == 0 ? State.done : State.afterValue;
}

/** Has the value that comes next behind it, unseen. */
export function stepOver(): void {
  store<i32>(context, behindValue(load<i32>(context, 4)));
}

/**
 * Goes on with the scan that `context` is of.
 * @param from offset in the piece
 * @param length of the piece
 * @param told members of objects are told of down to this depth
 * @param limit the most levels
 * @param line whether a newline ends the text, or is as a space
 * @returns the offset where it stopped, behind the byte that made it stop, or at the one that is a fault
 */
export function scan(from: i32, length: i32, told: i32, limit: i32, line: bool): i32 {
  const end = piece + length;
  let at = piece + from;
  let nextBlocks = at;
  let state = load<i32>(context);
  let depth = load<i32>(context, 4);
  let nameLength = load<i32>(context, 8) == Stop.memberName ? 0 : load<i32>(context, 12);
  let stop: i32 = Stop.pieceEnd;
  let valueStart = -1;
  while (at < end) {
    if (at >= nextBlocks && depth > told && end - at >= blockBytes && state < State.done) {
      at = takeBlocks(at, end, state, depth, told + 1, limit);
      state = stateOfBlocks;
      depth = depthOfBlocks;
      // What it stopped at is walked over.
      nextBlocks = at + blockBytes;
      continue;
    }
    const byte = load<u8>(at);
    let to = next(state, byte);
    if (to == Action.newline) {
      if (!line) to = state;
      else if (state == State.done) to = Action.lineEnds;
      else to = depth == 0 && state == State.value ? Fault.emptyLine : next(state, 0);
    }
    const kind = load<u8>(stack + depth);
    const opens = to == Action.opensArray || to == Action.opensObject;
    if (opens && depth == limit) to = Fault.tooDeep;
    else if (to == Action.closes && (byte == 0x7d) != (kind == object)) to = Fault.separator;
    if (to >= Fault.first) {
      stop = to;
      break;
    }
    at += 1;
    const isTold = kind == object && depth <= told;
    if (isTold && state == State.value && to != State.value) valueStart = <i32>(at - piece) - 1;
    if (to < Action.first) {
      if (isTold && (state & State.inName) != 0 && nameLength < nameBytes) {
        store<u8>(nameText + nameLength, byte);
        nameLength += 1;
      }
      state = to;
    } else if (opens) {
      depth += 1;
      if (stack + depth > stackEnd() && memory.grow(memory.size()) < 0) unreachable();
      store<u8>(stack + depth, to == Action.opensObject ? object : 0);
      state = State.opened | (to == Action.opensObject ? State.name : State.value);
    } else if (to == Action.comma) {
      state = kind == object ? State.name : State.value;
    } else if (to == Action.nameEnds) {
      state = State.colon;
      if (isTold) stop = Stop.memberName;
    } else if (to == Action.lineEnds) {
      stop = Stop.lineEnd;
    } else {
      // A value ends, a number before this byte.
      if (to == Action.closes) depth -= 1;
      else if (to == Action.numberEnds) at -= 1;
      state = behindValue(depth);
      if (depth <= told && load<u8>(stack + depth) == object) stop = Stop.memberEnd;
    }
    if (stop != Stop.pieceEnd) break;
  }
  store<i32>(context, state);
  store<i32>(context, depth, 4);
  store<i32>(context, stop, 8);
  store<i32>(context, nameLength, 12);
  store<i32>(context, valueStart, 16);
  return <i32>(at - piece);
}
