// The driver's loop: reads one request a line from stdin and writes one answer a line to stdout, until stdin ends. All of it
// is synchronous, as there is one request at a time.
'use strict';
const { readSync, writeSync } = require('node:fs');
const { parseSource } = require('./parse.cjs');
const { BrokenRequest, decodeRequest } = require('./request.cjs');
const { writeAnswer } = require('./serialise.cjs');

/** A larger buffer of requests, in bytes, is not kept for the next request. */
const keptBytes = 4 * 1024 * 1024;
/**
 * After an answer of more bytes than this, garbage is collected at once, not held while idle. With no tree alive, V8 drops
 * the hidden classes of nodes and the optimised code of the parser, which takes as long to make again as parsing a
 * thousand ordinary files. So this is done only for sources of megabytes.
 */
const largeAnswer = 64 * 1024 * 1024;
const newline = 0x0a;

// stdout carries nothing but answers: what a library prints goes to stderr.
Object.defineProperty(process, 'stdout', { configurable: true, get: () => process.stderr });
// JSON has no BigInt: a literal's value is its decimal digits, as a string.
Object.defineProperty(BigInt.prototype, 'toJSON', {
  value() {
    return this.toString();
  },
});
// Babel makes an error for each attempt at an arrow function or a type argument; their stack traces are never read.
Error.stackTraceLimit = 0;

/** Writes all of `bytes` to stdout. */
function writeAll(bytes) {
  let written = 0;
  while (written < bytes.length) {
    try {
      written += writeSync(1, bytes, written);
    } catch (error) {
      if (error.code === 'EPIPE') process.exit(1);
      if (error.code !== 'EAGAIN') throw error;
      pause();
    }
  }
}

/** Waits 1 ms: the host may have opened a pipe as non-blocking. */
function pause() {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}

let collect;

/** Returns the memory of a large request to the system. */
function collectGarbage() {
  if (collect === undefined) {
    require('node:v8').setFlagsFromString('--expose-gc');
    const gc = require('node:vm').runInNewContext('gc');
    collect = () => gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }
  collect();
}

/** An answer without a tree. The request's id is its first member. */
function failure(id, status, message) {
  return { id, status, errors: [{ message }], ast: null };
}

/** The answer to one line. */
function answer(line) {
  let request;
  try {
    request = decodeRequest(line);
  } catch (error) {
    if (error instanceof BrokenRequest) return failure(error.id, 'fatal', error.message);
    if (error instanceof RangeError)
      return failure(undefined, 'fatal', 'The request is too large or nested too deeply.');
    throw error;
  }
  try {
    return { id: request.id, ...parseSource(request) };
  } catch (error) {
    if (error instanceof RangeError && error.message.includes('call stack'))
      return failure(request.id, 'error', 'The source is nested too deeply for the parser.');
    return failure(request.id, 'error', `The parser failed: ${error.message}`);
  }
}

/** Answers a line. Returns whether the answer was large. */
function serve(line) {
  return writeAnswer(answer(line), writeAll) > largeAnswer;
}

function run() {
  let buffer = Buffer.allocUnsafeSlow(1024 * 1024);
  let start = 0; // of the line that is not complete yet
  let end = 0; // of the bytes that were read
  for (;;) {
    if (end === buffer.length) {
      // No room: move the line to the front, in a larger buffer if it fills more than half of this one.
      const room = end - start > buffer.length / 2 ? Buffer.allocUnsafeSlow(buffer.length * 2) : buffer;
      buffer.copy(room, 0, start, end);
      buffer = room;
      end -= start;
      start = 0;
    }
    let count;
    try {
      count = readSync(0, buffer, end, buffer.length - end, null);
    } catch (error) {
      if (error.code === 'EAGAIN') {
        pause();
        continue;
      }
      if (error.code !== 'EOF') throw error;
      count = 0;
    }
    if (count === 0) break;
    let from = end;
    end += count;
    let large = false;
    for (;;) {
      const index = buffer.subarray(0, end).indexOf(newline, from);
      if (index < 0) break;
      large = serve(buffer.subarray(start, index)) || large;
      start = from = index + 1;
    }
    if (start === end) {
      start = end = 0;
      if (buffer.length > keptBytes) buffer = Buffer.allocUnsafeSlow(1024 * 1024);
      if (large) collectGarbage();
    }
  }
  // The last line may lack its line end. A part of a request is answered as a broken request.
  if (end > start) serve(buffer.subarray(start, end));
}

run();
