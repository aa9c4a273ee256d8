// Checks of trees that the javascript driver made of real files, for use on whatever way a tree came: from the driver
// itself, or through a container and the host.
import { parse, type ParserOptions, type ParserPlugin } from '@babel/parser';
import { Problems, walkTree, type TreeObject } from './tree-check.ts';

/** What was checked in a tree, so that a test can see that something was. */
export interface JavaScriptTreeCheck {
  /** What is wrong, in words; the first twenty. Empty for a right tree. */
  readonly problems: readonly string[];
  readonly names: number;
  readonly strings: number;
  readonly comments: number;
}

/** The nodes of a tree, comments not counted. Takes the driver's tree, decoded, as well as Babel's own. */
export function countJavaScriptNodes(ast: unknown): number {
  let count = 0;
  walkTree(ast, (object) => {
    if (typeof object['type'] === 'string' && 'start' in object && !isComment(object)) count += 1;
  });
  return count;
}

/**
 * Checks that every place in a tree is right: that each identifier, string literal, template and comment is found in
 * the source at its `start` and `end`, and that lines and columns agree with these.
 * @param source the text that was parsed
 * @param ast the driver's tree, decoded: a File node
 */
export function checkJavaScriptTree(source: string, ast: unknown): JavaScriptTreeCheck {
  const problems = new Problems();
  const lines = lineStarts(source);
  const found = { names: 0, strings: 0, comments: 0 };

  walkTree(ast, (node) => {
    const { type, start, end, loc } = node as { type: unknown; start: unknown; end: unknown; loc: unknown };
    if (typeof type !== 'string' || typeof start !== 'number' || typeof end !== 'number') return;
    const slice = source.slice(start, end);
    const wrong = (what: string): void => {
      problems.add(() => `${type} at ${start}..${end}: ${what}: ${JSON.stringify(slice.slice(0, 80))}`);
    };
    const place = loc as { start: { line: number; column: number }; end: { line: number; column: number } };
    if ((lines[place.start.line] ?? NaN) + place.start.column !== start) wrong('its line and column are elsewhere');
    if ((lines[place.end.line] ?? NaN) + place.end.column !== end) wrong('its end line and column are elsewhere');

    if (type === 'Identifier' || type === 'JSXIdentifier') {
      found.names += 1;
      // The span of a parameter may include its type and its question mark (`name?: Type`).
      const written = slice.includes('\\') ? unescapeName(slice) : slice;
      const name = String(node['name']);
      const after = written.slice(name.length);
      if (!written.startsWith(name) || (after !== '' && !isTyped(node))) wrong(`not the name ${name}`);
    } else if (type === 'PrivateName') {
      found.names += 1;
      if (!slice.startsWith('#')) wrong('not a private name');
    } else if (type === 'StringLiteral') {
      found.strings += 1;
      const raw = (node['extra'] as { raw?: unknown } | undefined)?.raw;
      if (!/^(?:".*"|'.*')$/s.test(slice) || raw !== slice) wrong('not a string literal');
      if (!/[\\&]/.test(slice) && slice.slice(1, -1) !== node['value']) wrong('not its value');
    } else if (type === 'TemplateElement') {
      found.strings += 1;
      const raw = (node['value'] as { raw?: unknown }).raw;
      // Template values have their line ends normalised (ECMA-262, section 12.9.6).
      if (slice.replaceAll(/\r\n?/g, '\n') !== raw) wrong('not a piece of template');
    } else if (type === 'NumericLiteral' || type === 'BigIntLiteral' || type === 'RegExpLiteral') {
      const raw = (node['extra'] as { raw?: unknown } | undefined)?.raw;
      if (raw !== slice) wrong('not a literal');
    } else if (isComment(node)) {
      found.comments += 1;
      if (!slice.includes(String(node['value']))) wrong('not a comment');
    }
  });
  return { problems: problems.list, ...found };
}

/** The options with which the driver parses a file of this name, when that is valid. */
export function parserOptions(filename: string): ParserOptions {
  const typescript: ParserPlugin[] = ['decorators-legacy', 'decoratorAutoAccessors'];
  const extension = /\.([mc]?[jt]sx?)$/.exec(filename)?.[1];
  const declarations = /\.d(?:\.[^./]+)?\.[mc]?ts$/.test(filename);
  const plugins: ParserPlugin[] =
    extension === 'tsx'
      ? [...typescript, 'typescript', 'jsx']
      : extension === 'ts' || extension === 'mts' || extension === 'cts'
        ? [...typescript, ['typescript', { dts: declarations }]]
        : ['jsx', 'decorators', 'decoratorAutoAccessors'];
  return {
    sourceType: 'unambiguous',
    allowReturnOutsideFunction: true,
    allowNewTargetOutsideFunction: true,
    allowSuperOutsideMethod: true,
    allowUndeclaredExports: true,
    attachComment: false,
    plugins,
  };
}

/** What Babel, called directly, says of a file: whether it is valid (without recovery), and how many nodes it has. */
export function plainBabel(source: string, filename: string): { readonly ok: boolean; readonly nodes: number } {
  try {
    return { ok: true, nodes: countJavaScriptNodes(parse(source, parserOptions(filename))) };
  } catch {
    return { ok: false, nodes: 0 };
  }
}

function isComment(node: TreeObject): boolean {
  return node['type'] === 'CommentLine' || node['type'] === 'CommentBlock';
}

function isTyped(node: TreeObject): boolean {
  return 'typeAnnotation' in node || node['optional'] === true || 'decorators' in node || node['definite'] === true;
}

function unescapeName(written: string): string {
  return written.replaceAll(/\\u(?:\{([0-9a-f]+)\}|([0-9a-f]{4}))/gi, (_, braced: string | undefined, four: string) =>
    String.fromCodePoint(Number.parseInt(braced ?? four, 16)),
  );
}

/** The offset at which each line starts, by its number from 1 (ECMA-262, section 12.3: four kinds of line ends). */
function lineStarts(source: string): number[] {
  const starts = [NaN, 0];
  for (const { index, 0: end } of source.matchAll(/\r\n|[\n\r\u2028\u2029]/g)) starts.push(index + end.length);
  return starts;
}
