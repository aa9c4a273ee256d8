// Text that is laid out in columns: tables, definitions, and lines cut to a width. A column holds half, one or two of a
// character, which string-width knows.
import type { styleText } from 'node:util';
import stringWidth from 'string-width';
import { onOneLine, type Style } from './text.ts';

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
