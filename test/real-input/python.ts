// Checks of trees that the python driver made of real files, for use on whatever way a tree came: from the driver
// itself, or through a container and the host.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { isTreeObject, Problems, walkTree, type TreeObject } from './tree-check.ts';

/** What was checked in a tree, so that a test can see that something was. */
export interface PythonTreeCheck {
  /** What is wrong, in words; the first twenty. Empty for a right tree. */
  readonly problems: readonly string[];
  readonly names: number;
  readonly strings: number;
  readonly comments: number;
}

/** The nodes of a tree, as many as `ast.walk` gives without contexts and operators. Comments are not counted. */
export function countPythonNodes(ast: unknown): number {
  let count = 0;
  walkTree(ast, (object) => {
    if (typeof object['_type'] === 'string' && object['_type'] !== 'Comment') count += 1;
  });
  return count;
}

/**
 * Checks that every place in a tree is right: that each Name, each name that is no node of its own, each string and
 * each comment is found in the source where the tree says, and that columns in bytes and offsets in characters agree.
 * @param source the text that was parsed, as the driver decoded it (a byte order mark included)
 * @param ast the driver's tree, decoded
 */
export function checkPythonTree(source: string, ast: unknown): PythonTreeCheck {
  const problems = new Problems();
  const text = new Text(source);
  const found = { names: 0, strings: 0, comments: 0 };

  const checkName = (node: TreeObject, field: string, start: unknown, end: unknown, name: unknown): void => {
    found.names += 1;
    const slice = text.slice(start, end);
    // Python normalises names (PEP 3131); a dotted name may have blanks around its dots.
    if (slice?.normalize('NFKC').replaceAll(/[\s\\]+/g, '') !== name) {
      problems.add(
        () => `${describe(node)}: ${field} ${JSON.stringify(name)} is ${JSON.stringify(slice)} in the source`,
      );
    }
  };

  walkTree(ast, (node, parent) => {
    const type = node['_type'];
    if (typeof type !== 'string') return;
    if (typeof node['start'] === 'number') {
      if (text.offset(node['lineno'], node['col_offset']) !== node['start']) {
        problems.add(
          () => `${describe(node)}: start is not line ${String(node['lineno'])}, byte ${String(node['col_offset'])}`,
        );
      }
      if (text.offset(node['end_lineno'], node['end_col_offset']) !== node['end']) {
        problems.add(
          () =>
            `${describe(node)}: end is not line ${String(node['end_lineno'])}, byte ${String(node['end_col_offset'])}`,
        );
      }
    }
    if (type === 'Name') checkName(node, 'id', node['start'], node['end'], node['id']);
    if (type === 'Comment') {
      found.comments += 1;
      if (text.slice(node['start'], node['end']) !== node['value']) problems.add(() => `${describe(node)}: other text`);
    }
    if (type === 'Constant' && (node['value_type'] === 'str' || node['value_type'] === 'bytes')) {
      // The constant parts of an f-string are no tokens.
      if (parent?.['_type'] !== 'JoinedStr') {
        found.strings += 1;
        if (!isString(text.slice(node['start'], node['end']) ?? '', node))
          problems.add(() => `${describe(node)}: no string`);
      }
    }
    if (type === 'JoinedStr' && parent?.['_type'] !== 'FormattedValue') {
      found.strings += 1;
      if (!isString(text.slice(node['start'], node['end']) ?? '', node))
        problems.add(() => `${describe(node)}: no string`);
    }
    for (const [key, value] of Object.entries(node)) {
      if (key.endsWith('_start') && typeof node[key.slice(0, -6)] === 'string') {
        const field = key.slice(0, -6);
        checkName(node, field, value, node[`${field}_end`], node[field]);
      } else if (key.endsWith('_spans') && Array.isArray(value)) {
        const names = node[key.slice(0, -6)];
        value.forEach((span: unknown, index) => {
          if (Array.isArray(span) && Array.isArray(names)) checkName(node, key, span[0], span[1], names[index]);
        });
      }
    }
  });
  return { problems: problems.list, ...found };
}

function describe(node: TreeObject): string {
  return `${String(node['_type'])} at ${String(node['start'])}..${String(node['end'])}`;
}

/** Whether a slice is a string token, or several adjacent ones; a plain one's value must be its text. */
function isString(slice: string, node: TreeObject): boolean {
  const opening = /^([rbuft]{0,2})("""|'''|"|')/i.exec(slice);
  if (opening === null || !/["']$/.test(slice) || slice.length < opening[0].length + (opening[2]?.length ?? 1)) {
    return false;
  }
  const quote = opening[2] ?? '';
  const inner = slice.slice(opening[0].length, -quote.length);
  const plain = opening[1] === '' && !inner.includes('\\') && !inner.includes(quote.charAt(0));
  if (!plain || typeof node['value'] !== 'string') return true;
  return node['value'] === inner.replaceAll(/\r\n?/g, '\n');
}

/** A source by characters and by lines, as Python counts both. */
class Text {
  readonly #source: string;
  /** Its characters, where some take two UTF-16 units; else the string itself serves. */
  readonly #characters: readonly string[] | undefined;
  readonly #lines: number[] = [0, 0];
  readonly #ascii: boolean;

  constructor(source: string) {
    this.#source = source;
    this.#characters = /[\ud800-\udfff]/.test(source) ? Array.from(source) : undefined;
    this.#ascii = !/[^\0-\x7f]/.test(source);
    const length = this.#characters?.length ?? source.length;
    if (source.startsWith('\ufeff')) this.#lines[1] = 1;
    for (let index = 0; index < length; index += 1) {
      const character = this.#at(index);
      if (character === '\n' || (character === '\r' && this.#at(index + 1) !== '\n')) this.#lines.push(index + 1);
    }
  }

  #at(index: number): string | undefined {
    return this.#characters === undefined ? this.#source[index] : this.#characters[index];
  }

  /** The text between two offsets in characters. */
  slice(start: unknown, end: unknown): string | undefined {
    if (typeof start !== 'number' || typeof end !== 'number' || start >= end) return undefined;
    return this.#characters?.slice(start, end).join('') ?? this.#source.slice(start, end);
  }

  /** The offset in characters of a line (from 1) and a column in bytes of UTF-8. */
  offset(line: unknown, column: unknown): number | undefined {
    if (typeof line !== 'number' || typeof column !== 'number') return undefined;
    let offset = this.#lines[line];
    if (offset === undefined) return undefined;
    if (this.#ascii) return offset + column;
    let bytes = 0;
    for (; bytes < column; offset += 1) bytes += Buffer.byteLength(this.#at(offset) ?? '') || Infinity;
    return bytes === column ? offset : undefined;
  }
}

/** What plain Python says of a file: whether it is valid, and how many nodes it has. */
export interface PlainPython {
  readonly ok: boolean;
  readonly nodes: number;
}

/**
 * Parses files in one plain Python process, without any driver.
 * @param paths of the files
 * @param interpreter the same as the driver's
 */
export async function plainPython(paths: readonly string[], interpreter: string): Promise<Map<string, PlainPython>> {
  const script = fileURLToPath(new URL('plain_python.py', import.meta.url));
  const child = spawn(interpreter, ['-I', script], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.end(paths.map((path) => `${path}\n`).join(''));
  const lines = (await text(child.stdout)).split('\n').filter((line) => line !== '');
  const results = new Map<string, PlainPython>();
  for (const line of lines) {
    const entry: unknown = JSON.parse(line);
    if (!isTreeObject(entry)) throw new TypeError(`plain_python.py wrote ${line}`);
    results.set(String(entry['path']), { ok: entry['ok'] === true, nodes: Number(entry['nodes']) });
  }
  return results;
}
