// How parse results are written to stdout, one after another as they come. Trees are written as the bytes they came in,
// except on a terminal.
import { pathOfFileUri } from '../base/byte-paths.ts';
import { encodeJson, RawJson } from '../json/raw-json.ts';
import type { FileResult } from '../protocol/methods.ts';
import type { Output } from './output.ts';
import { pathFromHere } from './path-arguments.ts';
import { columnsOf, harmlessJson, onOneLine } from './text.ts';
import { treeLines } from './tree.ts';

export type Format = 'tree' | 'json' | 'ndjson' | 'problems';

export interface ResultWriter {
  /** @returns whether the reader keeps up */
  write(result: FileResult): boolean;
  /** To be called after the last result. */
  end?(): void;
}

/** @param depth levels of a tree that are shown */
export function resultWriter(format: Format, output: Output, depth: number): ResultWriter {
  switch (format) {
    case 'ndjson':
      return { write: (result) => writeJson(output, '', result, '\n') };
    case 'json': {
      let before = '[\n';
      return {
        write(result) {
          const written = writeJson(output, before, result, '');
          before = ',\n';
          return written;
        },
        end() {
          output.write(before === '[\n' ? '[]\n' : '\n]\n');
        },
      };
    }
    case 'tree':
      return { write: (result) => writeTree(result, output, depth) };
    case 'problems':
      return { write: (result) => writeProblems(result, output) };
  }
}

/** One result, for a file that was asked for alone. */
export function writeOne(result: FileResult, format: 'tree' | 'json', output: Output, depth: number): void {
  if (format === 'tree') writeTree(result, output, depth);
  else if (output.isTerminal) output.json(lineOf(result));
  else writeJson(output, '', result, '\n');
}

/**
 * A line of NDJSON: every one has uri, language, status, errors and uast, so that a reader need not look twice. Where
 * there is no result, status is `failed`, and `error` tells all that is known.
 */
function lineOf(result: FileResult): object {
  if (!('error' in result)) {
    // The length is that in the host's message, where a client needs it.
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
  const line = lineOf(result);
  if (output.isTerminal) return output.write(before, harmlessJson(line), after);
  const { pieces, raw } = encodeJson(line);
  const keepsUp = output.write(before, ...pieces, after);
  output.onceWritten(() => {
    for (const each of raw) each.free();
  });
  return keepsUp;
}

function writeTree(result: FileResult, output: Output, depth: number): boolean {
  const { style } = output;
  if ('error' in result) return writeProblems(result, output);
  const { uri, language, status, elapsedMs } = result;
  const fate = status === 'ok' ? style('green', 'ok') : style('yellow', 'with errors');
  const dot = style('dim', '·');
  output.write(
    `${style('bold', displayPath(uri))} ${dot} ${onOneLine(language)} ${dot} ${fate} ${style('dim', `· ${elapsedMs.toFixed(1)} ms`)}\n`,
  );
  const tree = result.uast instanceof RawJson ? result.uast.decode() : result.uast;
  const columns = columnsOf(process.stdout) ?? 160;
  for (const line of treeLines(tree, { depth, columns, style })) output.write(`${line}\n`);
  return writeProblems(result, output);
}

/** The errors of a file, as compilers print them: `file:line:column: message`. */
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

/** The file that a result is of, for a person. */
function displayPath(uri: string): string {
  return onOneLine(uri.startsWith('file:') ? pathFromHere(pathOfFileUri(uri)) : uri);
}
