// How parse results are written to stdout, one after another as they come. Trees are handed on as the bytes they came in,
// unless a person is to read them.
import { fileURLToPath } from 'node:url';
import path from 'node:path';
import { encodeJson, RawJson } from '../json/raw-json.ts';
import type { FileResult } from '../protocol/methods.ts';
import type { Output } from './output.ts';
import { columnsOf, harmlessJson, onOneLine } from './text.ts';
import { treeLines } from './tree.ts';

export type Format = 'tree' | 'json' | 'ndjson' | 'problems';

export interface ResultWriter {
  /** @returns whether the reader keeps up */
  write(result: FileResult): boolean;
  /** After the last one. */
  end(): void;
}

/** @param depth levels of a tree that are shown */
export function resultWriter(format: Format, output: Output, depth: number): ResultWriter {
  switch (format) {
    case 'ndjson':
      return { write: (result) => writeJson(output, '', result, '\n'), end: () => undefined };
    case 'json':
      return new ArrayWriter(output);
    case 'tree':
      return new TreeWriter(output, depth);
    case 'problems':
      return { write: (result) => writeProblems(result, output), end: () => undefined };
  }
}

/** One result, for a file that was asked for alone. */
export function writeOne(result: FileResult, format: 'tree' | 'json', output: Output, depth: number): void {
  if (format === 'tree') new TreeWriter(output, depth).write(result);
  else if (output.isTerminal) output.json(decoded(lineOf(result)));
  else writeJson(output, '', result, '\n');
}

/**
 * A line of NDJSON: every one has uri, language, status, errors and uast, so that a reader need not look twice. Where
 * there is no result, status is `failed`, and `error` tells all that is known.
 */
function lineOf(result: FileResult): object {
  if (!('error' in result)) {
    // The tree's length is its length in the host's message, which a line need not have.
    return { ...result, uastBytes: undefined };
  }
  const { uri, error } = result;
  const { language } = error.data;
  return {
    uri,
    language: typeof language === 'string' ? language : null,
    status: 'failed',
    errors: [{ message: error.message }],
    error,
    uast: null,
  };
}

/** Writes a result, between two texts. */
function writeJson(output: Output, before: string, result: FileResult, after: string): boolean {
  if (output.isTerminal) return output.write(before, harmlessJson(decoded(lineOf(result))), after);
  return output.write(before, ...encodeJson(lineOf(result)), after);
}

function decoded(line: object): object {
  const { uast } = line as { uast?: unknown };
  return uast instanceof RawJson ? { ...line, uast: uast.decode() } : line;
}

/** A JSON array, an element a line. */
class ArrayWriter implements ResultWriter {
  readonly #output: Output;
  #separator = '[\n';

  constructor(output: Output) {
    this.#output = output;
  }

  write(result: FileResult): boolean {
    const separator = this.#separator;
    this.#separator = ',\n';
    return writeJson(this.#output, separator, result, '');
  }

  end(): void {
    this.#output.write(this.#separator === '[\n' ? '[]\n' : '\n]\n');
  }
}

class TreeWriter implements ResultWriter {
  readonly #output: Output;
  readonly #depth: number;

  constructor(output: Output, depth: number) {
    this.#output = output;
    this.#depth = depth;
  }

  write(result: FileResult): boolean {
    const { style } = this.#output;
    if ('error' in result) return writeProblems(result, this.#output);
    const { uri, language, status, elapsedMs } = result;
    const fate = status === 'ok' ? style('green', 'ok') : style('yellow', 'with errors');
    this.#output.write(
      `${style('bold', displayPath(uri))} ${style('dim', '·')} ${onOneLine(language)} ${style('dim', '·')} ${fate} ${style('dim', `· ${elapsedMs.toFixed(1)} ms`)}\n`,
    );
    const tree = result.uast instanceof RawJson ? result.uast.decode() : result.uast;
    const columns = columnsOf(process.stdout) ?? 160;
    for (const line of treeLines(tree, { depth: this.#depth, columns, style })) this.#output.write(`${line}\n`);
    return writeProblems(result, this.#output);
  }

  end(): void {
    // Each tree stands by itself.
  }
}

/** What is wrong with a file, as compilers print it: `file:line:column: message`. Nothing where nothing is. */
function writeProblems(result: FileResult, output: Output): boolean {
  const { style } = output;
  const file = displayPath(result.uri);
  if ('error' in result) {
    const { message, data } = result.error;
    return output.write(
      `${file}: ${style('red', 'failed:')} ${onOneLine(message)} ${style('dim', `(${data.kind})`)}\n`,
    );
  }
  let keepsUp = true;
  for (const { message, line, column } of result.errors) {
    const place = [file, line, column].filter((part) => part !== undefined).join(':');
    keepsUp = output.write(`${place}: ${style('yellow', 'error:')} ${onOneLine(message)}\n`);
  }
  return keepsUp;
}

/** A file's path as a person would write it from here. */
function displayPath(uri: string): string {
  if (!uri.startsWith('file:')) return onOneLine(uri);
  const absolute = fileURLToPath(uri);
  const relative = path.relative(process.cwd(), absolute);
  return onOneLine(relative.startsWith('..') ? absolute : relative);
}
