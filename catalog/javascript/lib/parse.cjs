// Parses a source as the dialect that fits best, and makes the answer of Babel's tree and errors.
'use strict';
const { parse } = require('@babel/parser');
const { dialects, otherDecorators } = require('./dialect.cjs');
const { NotText } = require('./request.cjs');

/** How many errors an answer lists at most; one more entry says how many are left out. */
const maxErrors = 1000;

const options = {
  errorRecovery: true,
  // Attached comments are mostly in the tree twice (after a node and before the next); `comments` has each once.
  attachComment: false,
  // For snippets, scripts of notebooks and bodies of functions.
  allowReturnOutsideFunction: true,
  allowNewTargetOutsideFunction: true,
  allowSuperOutsideMethod: true,
  allowUndeclaredExports: true,
};

/** Parses once. Without a tree and with one error if Babel cannot recover from that. */
function attempt(source, plugins, sourceType) {
  try {
    const tree = parse(source, { ...options, plugins, sourceType });
    return { tree, errors: tree.errors };
  } catch (error) {
    // The stack is exhausted, as it would be with every dialect.
    if (error instanceof RangeError) throw error;
    return { tree: null, errors: [error] };
  }
}

/** The number of errors; infinite without a tree. */
function faults({ tree, errors }) {
  return tree === null ? Infinity : errors.length;
}

function attemptDialect(source, { plugins, sourceType }) {
  const first = attempt(source, plugins, sourceType);
  if (sourceType !== 'unambiguous' || first.tree?.program.sourceType !== 'script' || first.errors.length === 0) {
    return first;
  }
  // A script, as it has no import and export. Babel read it by the stricter rules of modules first and, told to recover,
  // keeps the errors of that.
  const second = attempt(source, plugins, 'script');
  return faults(second) <= faults(first) ? second : first;
}

/** Parses as the dialect that fits best. */
function attemptAll(source, hints) {
  let best;
  const consider = (dialect) => {
    const result = attemptDialect(source, dialect);
    if (best === undefined || faults(result) < faults(best)) best = result;
    return faults(best) === 0;
  };
  const candidates = dialects(hints, source);
  if (candidates.some(consider)) return best;
  if (source.includes('@')) candidates.map(otherDecorators).some(consider);
  return best;
}

/** Babel's errors in the protocol's form: lines and columns from 1, columns in characters. */
function describe(errors, source) {
  // Columns are counted from the previous error on: many errors in one long line take one pass over it.
  let lineStart = -1;
  let position = 0;
  let column = 0;
  const described = errors.slice(0, maxErrors).map((error) => {
    if (error.loc === undefined) return { message: `The parser failed: ${error.message}` };
    const start = error.pos - error.loc.column;
    if (start !== lineStart || error.pos < position) {
      lineStart = position = start;
      column = 0;
    }
    for (; position < error.pos; position += 1) {
      const unit = source.charCodeAt(position);
      const next = source.charCodeAt(position + 1);
      // A surrogate pair is one character.
      if (unit >= 0xd800 && unit < 0xdc00 && next >= 0xdc00 && next < 0xe000 && position + 1 < error.pos) position += 1;
      column += 1;
    }
    return {
      message: error.message.replace(/ \(\d+:\d+\)$/, ''),
      line: error.loc.line,
      column: column + 1,
      offset: error.pos,
    };
  });
  if (errors.length > maxErrors)
    described.push({ message: `${errors.length - maxErrors} more errors are not listed.` });
  return described;
}

/**
 * Parses a request's content.
 * @returns the answer, its members in the order in which the host reads them
 */
function parseSource({ source, ...hints }) {
  let text;
  try {
    text = source();
  } catch (error) {
    if (error instanceof NotText) {
      return { status: 'error', errors: [{ message: error.message, byte: error.offset }], ast: null };
    }
    throw error;
  }
  const { tree, errors } = attemptAll(text, hints);
  if (tree !== null) delete tree.errors;
  return { status: errors.length === 0 ? 'ok' : 'error', errors: describe(errors, text), ast: tree };
}

module.exports = { parseSource };
