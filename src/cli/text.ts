// Text for terminals and pipes: colours where they are wanted, tables, and foreign text made harmless. Names, messages and
// trees come from images and sources of strangers: an escape sequence in them must not reach a terminal.
import { styleText } from 'node:util';
import stringWidth from 'string-width';

export type Style = (format: Parameters<typeof styleText>[0], text: string) => string;

/** Colours for a stream: none where it is no terminal, or NO_COLOR, NODE_DISABLE_COLORS or TERM=dumb say so. */
export function styleFor(stream: NodeJS.WriteStream): Style {
  return (format, text) => styleText(format, text, { stream });
}

/** Control characters but newline and tab; DEL; C1 controls; and the marks that reverse the direction of text. */
// eslint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Makes foreign text harmless to a terminal: control characters become visible escapes. */
export function harmless(text: string): string {
  return text.replaceAll(unsafe, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** The same, with newlines and tabs as escapes too. */
export function onOneLine(text: string): string {
  return harmless(text).replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

/** Shortens to at most `width` columns, with `…` for what was cut. */
export function truncate(text: string, width: number): string {
  if (text.length <= width && stringWidth(text) <= width) return text;
  let kept = '';
  let used = 0;
  for (const { segment } of new Intl.Segmenter().segment(text.slice(0, 4 * width))) {
    const next = stringWidth(segment);
    if (used + next > width - 1) break;
    kept += segment;
    used += next;
  }
  return `${kept}…`;
}

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: 'right';
  /** How the cell looks on a terminal. */
  readonly format?: (row: Row) => Parameters<typeof styleText>[0];
}

/** The columns that a stream shows in a line; none where it is no terminal. */
export function columnsOf(stream: NodeJS.WriteStream): number | undefined {
  return stream.isTTY ? stream.columns : undefined;
}

/**
 * A table as columns two spaces apart, as `docker ps` prints them. On a terminal, the titles stand out; in a pipe,
 * nothing is cut or coloured, so that `awk` can have it.
 */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[], style: Style): string {
  const cells = rows.map((row) => columns.map((column) => onOneLine(column.value(row))));
  const widths = columns.map((column, index) =>
    Math.max(stringWidth(column.title), ...cells.map((line) => stringWidth(line[index] ?? ''))),
  );
  const pad = (text: string, index: number): string => {
    const space = ' '.repeat((widths[index] ?? 0) - stringWidth(text));
    if (columns[index]?.align === 'right') return space + text;
    return index === columns.length - 1 ? text : text + space;
  };
  const header = columns.map((column, index) => style('bold', pad(column.title, index))).join('  ');
  const lines = cells.map((line, number) =>
    line
      .map((text, index) => {
        const row = rows[number];
        const format = row === undefined ? undefined : columns[index]?.format?.(row);
        return format === undefined ? pad(text, index) : style(format, pad(text, index));
      })
      .join('  ')
      .trimEnd(),
  );
  return `${[header, ...lines].join('\n')}\n`;
}

/** `title   value` lines for what has one value each. */
export function definitions(entries: readonly (readonly [title: string, value: string])[], style: Style): string {
  const width = Math.max(0, ...entries.map(([title]) => stringWidth(title)));
  return entries
    .map(([title, value]) => {
      const space = ' '.repeat(width - stringWidth(title) + 2);
      return `${style('bold', title)}${value === '' ? '' : space + onOneLine(value)}\n`;
    })
    .join('');
}
