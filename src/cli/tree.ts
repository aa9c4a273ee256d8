// A tree as lines for a person. Native trees differ from parser to parser; most have objects with a type, a place in the
// source, values and children.
import { truncate } from './layout.ts';
import { onOneLine, type Style } from './text.ts';

export interface TreeOptions {
  /** Levels of nodes that are shown. */
  readonly depth: number;
  /** Columns of a line. */
  readonly columns: number;
  readonly style: Style;
}

type Node = Readonly<Record<string, unknown>>;

/** Where parsers write a node's type: Babelfish's, our Python driver's, ESTree's, and others'. */
const typeKeys = ['@type', '_type', 'type', 'ast_type', 'nodeType', 'kind'];

/** Places in the source are shown as one, and not as values. */
const placeKeys = new Set([
  ...['loc', 'start', 'end', 'range', 'pos', 'position', '@pos', 'startPosition', 'endPosition'],
  ...['lineno', 'col_offset', 'end_lineno', 'end_col_offset'],
]);

/** No value is shown longer than this, in columns. */
const valueWidth = 60;

/** The lines of a tree, one by one: a large tree is never held whole as text. */
export function* treeLines(tree: unknown, options: TreeOptions): Generator<string> {
  yield* linesOf(tree, '', 0, options);
}

function* linesOf(value: unknown, label: string, level: number, options: TreeOptions): Generator<string> {
  const { style, columns } = options;
  const indent = '  '.repeat(level);
  const room = Math.max(20, columns - indent.length - label.length);
  if (!isNode(value)) {
    yield `${indent}${style('dim', label)}${truncate(scalarText(value), room)}`;
    return;
  }
  const type = typeOf(value);
  const children: [string, unknown][] = [];
  const values: string[] = [];
  for (const [key, member] of Object.entries(value)) {
    if (key === type?.key || placeKeys.has(key) || member === null || member === undefined) continue;
    if (Array.isArray(member) ? member.length > 0 : typeof member === 'object') children.push([key, member]);
    else if (!Array.isArray(member)) values.push(`${onOneLine(key)}=${scalarText(member)}`);
  }
  const name = onOneLine(type?.name ?? '');
  const place = placeOf(value);
  const rest = truncate(values.join(' '), Math.max(0, room - name.length - place.length - 2));
  const parts = [style('cyan', name), rest, style('dim', place)].filter(
    (_, index) => [name, rest, place][index] !== '',
  );
  yield `${indent}${style('dim', label)}${parts.join(' ')}`.trimEnd();
  if (children.length === 0) return;
  if (level + 1 >= options.depth) {
    yield `${indent}  ${style('dim', `… ${children.map(([key]) => onOneLine(key)).join(', ')} (--depth shows more)`)}`;
    return;
  }
  for (const [key, child] of children) {
    if (!Array.isArray(child)) {
      yield* linesOf(child, `${onOneLine(key)}: `, level + 1, options);
    } else if (child.every((item) => typeof item !== 'object' || item === null)) {
      const text = child.map(scalarText).join(', ');
      yield truncate(`${indent}  ${onOneLine(key)}: [${text}]`, Math.max(20, columns));
    } else {
      yield `${indent}  ${style('dim', `${onOneLine(key)}:`)}`;
      for (const item of child as unknown[]) yield* linesOf(item, '- ', level + 1, options);
    }
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null;
}

function typeOf(node: Node): { key: string; name: string } | undefined {
  for (const key of typeKeys) {
    const name = node[key];
    if (typeof name === 'string') return { key, name };
  }
  return undefined;
}

function scalarText(value: unknown): string {
  return onOneLine(truncate(JSON.stringify(value), valueWidth));
}

/** `3:1-4:12`: lines and columns from 1, or the offsets where there are no lines. */
function placeOf(node: Node): string {
  const { loc } = node;
  if (isNode(loc)) {
    const start = lineAndColumn(loc['start'], 'line', 'column');
    const end = lineAndColumn(loc['end'], 'line', 'column');
    if (start !== undefined) return end === undefined ? start : `${start}-${end}`;
  }
  const start = lineAndColumn(node, 'lineno', 'col_offset');
  const end = lineAndColumn(node, 'end_lineno', 'end_col_offset');
  if (start !== undefined) return end === undefined ? start : `${start}-${end}`;
  if (typeof node['start'] === 'number' && typeof node['end'] === 'number') return `${node['start']}-${node['end']}`;
  return '';
}

/** Lines count from 1 and columns from 0 in ESTree and in Python's ast alike. */
function lineAndColumn(place: unknown, line: string, column: string): string | undefined {
  if (!isNode(place) || typeof place[line] !== 'number') return undefined;
  return typeof place[column] === 'number' ? `${place[line]}:${place[column] + 1}` : String(place[line]);
}
