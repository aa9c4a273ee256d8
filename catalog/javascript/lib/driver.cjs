// The driver's loop: one request a line on stdin, one answer a line on stdout, until stdin ends. Everything is
// synchronous: the driver has one thing to do at a time, and an event loop between would only cost time.
'use strict';
const { readSync, writeSync } = require('node:fs');
const { parseSource } = require('./parse.cjs');
const { BrokenRequest, decodeRequest } = require('./request.cjs');
const { writeAnswer } = require('./serialise.cjs');

/** The buffer of requests that is kept between them holds this many bytes; a larger one lives for one request. */
const keptBytes = 4 * 1024 * 1024;
/**
 * After an answer of more bytes than this, the garbage is collected at once instead of being held while idle. It has its
 * price: with no tree alive, V8 also lets go of what it knows of trees, and with that of the parser's optimised code. To
 * make that again takes as long as a thousand ordinary files, in this process or beside it. So it is worth it only for
 * sources of megabytes.
 */
const largeAnswer = 64 * 1024 * 1024;
const newline = 0x0a;

// stdout carries answers and nothing else: what any library prints goes to stderr.
Object.defineProperty(process, 'stdout', { configurable: true, get: () => process.stderr });
// JSON has no BigInt; every literal's value is kept as its decimal digits.
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
      if (error.code === 'EPIPE') process.exit(1); // nobody reads any more
      if (error.code !== 'EAGAIN') throw error;
      pause();
    }
  }
}

/** Waits a moment for a pipe that was made non-blocking by whoever opened it. */
function pause() {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}

let collect;

/** Gives the memory of a large request back. */
function collectGarbage() {
  if (collect === undefined) {
    require('node:v8').setFlagsFromString('--expose-gc');
    const gc = require('node:vm').runInNewContext('gc');
    collect = () => gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }
  collect();
}

/** An answer without a tree. The id that a request had comes first in its answer. */
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

/** Answers a line; says whether that took much memory. */
function serve(line) {
  return writeAnswer(answer(line), writeAll) > largeAnswer;
}

/** Reads stdin to its end, in blocks as large as there is room for. */
function run() {
  let buffer = Buffer.allocUnsafeSlow(1024 * 1024);
  let start = 0; // where the line begins that is not whole yet
  let end = 0; // where the bytes end that were read
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
  // A last line may lack its line end; half a request is answered as the broken request that it is.
  if (end > start) serve(buffer.subarray(start, end));
}

run();
