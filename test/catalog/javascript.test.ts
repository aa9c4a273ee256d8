// What the javascript driver makes of each dialect, and of what JSON cannot say.
import { afterAll, describe, expect, it } from 'vitest';
import { checkJavaScriptTree } from '../real-input/javascript.ts';
import { walkTree, type TreeObject } from '../real-input/tree-check.ts';
import { NativeDriver, type Answer } from './native-driver.ts';

const driver = new NativeDriver('javascript');
afterAll(async () => driver[Symbol.asyncDispose]());

type Hints = Parameters<NativeDriver['parse']>[1];

async function parse(source: string, hints?: Hints): Promise<Answer> {
  const answer = await driver.parse(source, hints);
  if (answer.ast !== null) expect(checkJavaScriptTree(source, answer.ast).problems).toEqual([]);
  return answer;
}

/** The nodes of a type in a source that must be valid. */
async function nodes(source: string, type: string, hints?: Hints): Promise<TreeObject[]> {
  const answer = await parse(source, hints);
  expect(answer.errors).toEqual([]);
  const found: TreeObject[] = [];
  walkTree(answer.ast, (node) => {
    if (node['type'] === type) found.push(node);
  });
  return found;
}

const jsx = 'const a = <b c="d">{e}</b>;';
const typescript = 'let a: number = <number>b; function f<T>(this: T, x?: string): asserts x {}';
const generic = 'const f = <T,>(x: T) => <div>{x}</div>;';
const flow = 'opaque type A = {| +b: ?string |}; (c: A); export type { A };';
const decorated = 'class A { constructor(@Inject() private b: B) {} @c d = 1 }';

describe('the javascript driver', () => {
  it.each<[string, string, Hints]>([
    ['JSX in .js', jsx, { filename: 'a.js' }],
    ['JSX in .jsx', jsx, { filename: 'a.jsx', language: 'javascript' }],
    ['JSX asked for', jsx, { language: 'jsx' }],
    ['TypeScript in .ts', typescript, { filename: 'src/A.TS', language: 'javascript' }],
    ['TypeScript in .mts', `${typescript} await a;`, { filename: 'a.mts' }],
    ['TypeScript in .cts', `${typescript} import b = require("b"); export = b;`, { filename: 'a.cts' }],
    ['TypeScript asked for', typescript, { language: 'TypeScript' }],
    ['TypeScript asked for, with another name', typescript, { language: 'typescript', filename: 'a.js' }],
    ['declarations', 'export const a: number; export default function f(): void;', { filename: 'a.d.ts' }],
    ['declarations of CSS', 'declare const a: { b: string }; export = a;', { filename: 'a.d.css.ts' }],
    ['decorated parameters', decorated, { filename: 'a.ts' }],
    ['TSX in .tsx', generic, { filename: 'a.tsx' }],
    ['TSX asked for', generic, { language: 'tsx' }],
    ['TSX when TypeScript is asked for', generic, { language: 'typescript' }],
    ['Flow with a pragma', `/* @flow strict */\n${flow}`, { filename: 'a.js' }],
    ['Flow with a pragma after a licence', `// A\n/**\n * B\n * @flow\n */\nf<T>(x);`, { filename: 'a.js' }],
    ['Flow without a pragma in .js', flow, { filename: 'a.js' }],
    ['Flow in .js.flow', flow, { filename: 'a.js.flow' }],
    ['Flow with no hint', flow, {}],
    ['TypeScript with no hint', typescript, {}],
    ['TSX with no hint', generic, {}],
    ['JSX with no hint', jsx, {}],
    ['decorators before export', '@a export class B {}', { filename: 'a.js' }],
    ['decorators after export', 'export @a class B {}', { filename: 'a.ts' }],
    ['a script', 'with (a) b = 010; var await; delete c; <!-- d', { filename: 'a.js' }],
    ['a script in .cjs', 'return require("a"); var await = 1', { filename: 'a.cjs' }],
    ['a module', 'import a from "b" with { type: "json" }; await a; export * as c from "d";', { filename: 'a.js' }],
    ['a module without import', 'await a; import.meta.url', { filename: 'a.mjs' }],
    ['what is out of place alone', 'super.a(); new.target; return; export { b };', { filename: 'a.js' }],
    [
      'new syntax',
      'using a = b; class C { static { } accessor d = 1; #e; f() { return #e in this } } /[\\p{L}--[a]]/v;',
      {},
    ],
  ])('parses %s', async (_, source, hints) => {
    expect((await parse(source, hints)).errors).toEqual([]);
  });

  it('takes no type assertion for JSX, and no JSX for a type assertion', async () => {
    expect(await nodes('let a = <b>c;', 'TSTypeAssertion', { filename: 'a.ts' })).toHaveLength(1);
    expect(await nodes('let a = <b>c</b>;', 'JSXElement', { filename: 'a.tsx' })).toHaveLength(1);
    expect(await nodes('a < b > (c)', 'BinaryExpression', { filename: 'a.js' })).toHaveLength(2);
  });

  it('tells a module from a script', async () => {
    const sourceType = async (source: string, filename: string) => (await nodes(source, 'Program', { filename }))[0];
    expect(await sourceType('export {}', 'a.js')).toMatchObject({ sourceType: 'module' });
    expect(await sourceType('a', 'a.js')).toMatchObject({ sourceType: 'script' });
    expect(await sourceType('a', 'a.mjs')).toMatchObject({ sourceType: 'module' });
  });

  it('keeps what JSON has no words for', async () => {
    const source = '123456789012345678901234567890n; /a\\/b/giu; 1e999; "\\ud800"; `\\u{1F600}${x}`; 0xffn;';
    expect(await nodes(source, 'BigIntLiteral')).toMatchObject([
      { value: '123456789012345678901234567890' },
      { value: '255', extra: { raw: '0xffn' } },
    ]);
    expect(await nodes(source, 'RegExpLiteral')).toMatchObject([{ pattern: 'a\\/b', flags: 'giu' }]);
    expect(await nodes(source, 'NumericLiteral')).toMatchObject([{ value: null, extra: { raw: '1e999' } }]);
    expect(await nodes(source, 'StringLiteral')).toMatchObject([{ value: '\ud800' }]);
  });

  it('keeps each comment once, and the hashbang', async () => {
    const source = '#!/usr/bin/env node\n/* one */ a; // two\n// three\nb;\n';
    expect(await nodes(source, 'CommentLine')).toMatchObject([{ value: ' two' }, { value: ' three' }]);
    expect(await nodes(source, 'CommentBlock')).toHaveLength(1);
    expect(await nodes(source, 'InterpreterDirective')).toMatchObject([{ value: '/usr/bin/env node' }]);
  });

  it('gives a broken file its errors and the tree that there is', async () => {
    const source = 'let a = 1;\nlet a = 2; 𝒳𝒳; let a;\nbreak;\nf(';
    const broken = source.slice(0, source.lastIndexOf('\n'));
    const answer = await parse(broken, { filename: 'a.js' });
    expect(answer.status).toBe('error');
    expect(answer.errors).toMatchObject([
      { line: 2, column: 5, offset: broken.indexOf('a = 2') },
      { line: 2, column: 20, offset: broken.indexOf('a;\nbreak') },
      { line: 3, column: 1, offset: broken.indexOf('break') },
    ]);
    expect(answer.errors[0]?.message).toBe("Identifier 'a' has already been declared.");
    expect(answer.ast).toMatchObject({ type: 'File', program: { body: { length: 5 } } });
    expect(await parse(source, { filename: 'a.js' })).toMatchObject({
      status: 'error',
      errors: [{ line: 4, column: 3, offset: source.length }],
      ast: null,
    });
  });

  it('lists a thousand errors, and says how many more there are', async () => {
    const answer = await parse('let a;'.repeat(5001), { filename: 'a.js' });
    expect(answer.errors).toHaveLength(1001);
    expect(answer.errors.at(-1)).toEqual({ message: '4000 more errors are not listed.' });
  });

  it('decodes UTF-16 with a byte order mark', async () => {
    const text = '\ufefflet é = "𝒳";';
    const little = Buffer.from(text, 'utf16le');
    const expected = await parse(text);
    expect(await driver.parseBytes(little)).toEqual(expected);
    expect(await driver.parseBytes(Buffer.from(little).swap16())).toEqual(expected);
  });

  it.each([{ language: 7 }, { filename: [] }])('refuses %j', async (hint) => {
    expect(await driver.ask({ content: '', encoding: 'utf8', ...hint })).toMatchObject({ status: 'fatal' });
  });

  it('wrote nothing to stderr', () => {
    expect(driver.stderr).toBe('');
  });
});
