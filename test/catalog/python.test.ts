// What the python driver makes of each kind of syntax that has something of its own.
import { afterAll, describe, expect, it } from 'vitest';
import { checkPythonTree } from '../real-input/python.ts';
import { isTreeObject, walkTree, type TreeObject } from '../real-input/tree-check.ts';
import { NativeDriver } from './native-driver.ts';

const driver = new NativeDriver('python');
afterAll(async () => driver[Symbol.asyncDispose]());

/** Parses, checks all places, and returns the nodes of a type. */
async function parse(source: string, type: string): Promise<TreeObject[]> {
  const answer = await driver.parse(source);
  expect(answer.errors).toEqual([]);
  expect(checkPythonTree(source, answer.ast).problems).toEqual([]);
  const found: TreeObject[] = [];
  walkTree(answer.ast, (node) => {
    if (node['_type'] === type) found.push(node);
  });
  return found;
}

/** The source text of each node of a type. */
async function slices(source: string, type: string): Promise<string[]> {
  const characters = Array.from(source);
  const nodes = await parse(source, type);
  return nodes.map(({ start, end }) => characters.slice(Number(start), Number(end)).join(''));
}

describe('the python driver', () => {
  it.each([
    ['0', 'int', 0],
    ['9007199254740992', 'int', 9007199254740992],
    ['9007199254740993', 'int', '9007199254740993'],
    ['18446744073709551616', 'int', '18446744073709551616'],
    [`0x1${'0'.repeat(5000)}`, 'int', `0x1${'0'.repeat(5000)}`],
    ['1.5', 'float', 1.5],
    ['1e999', 'float', 'inf'],
    ['2j', 'complex', { real: 0, imag: 2 }],
    ['1e999j', 'complex', { real: 0, imag: 'inf' }],
    ['True', 'bool', true],
    ['False', 'bool', false],
    ['None', 'NoneType', null],
    ['...', 'ellipsis', '...'],
    ['"a" \'b\'', 'str', 'ab'],
    [String.raw`"\ud800\"\n"`, 'str', '\ud800"\n'],
    [String.raw`b"a\xff\x00"`, 'bytes', 'a\u00ff\0'],
  ])('keeps the value of %s', async (source, type, value) => {
    const [constant] = await parse(`${source}\n`, 'Constant');
    expect(constant).toMatchObject({ value_type: type, value });
  });

  it('keeps the u of u"…"', async () => {
    expect(await parse('u"a"', 'Constant')).toMatchObject([{ kind: 'u' }]);
  });

  it.each([
    ['tabs and form feeds', '\f\nif x:\n\tname\t=  "é"  +\tother\n'],
    ['CRLF', 'a = """x\r\ny"""\r\nb = "é" + c\r\nd\r\n'],
    ['CR alone', 'a = "x"\rb = "é" + c\rd\r'],
    ['a byte order mark', '\ufeffa = "é" + b\nc = d\n'],
    ['a byte order mark before ASCII', '\ufeffa = f"{b}{c}" # d\nc = d\n'],
    ['characters beyond the BMP', 'a = "𝒳é" + b; 𝒳 = f"𝒳{𝒳}é{c!r:>{width}}"  # 𝒳\n'],
    ['line separators that are none to Python', 'a = "x\u2028\x85\x0b\x1c"; b\nc = "y"\n'],
    ['names that are normalised', 'ﬁ = x.ﬁ\nclass ﬁ(metaclass=ﬁ): pass\ndef ﬁ(ﬁ): pass\nimport ﬁ.x as ﬁ\n'],
    ['a coding declaration in text', '# -*- coding: latin-1 -*-\na = "é"; b\n'],
    ['no last line end', 'a = "é" + b'],
    ['a string over continued lines', 'a = ("x" # one\n "y" \\\n \'z\') + b # two\n'],
    ['a string that holds hash signs', 'a = "#" # "b"\nc = \'\'\'#\n#\'\'\' "#" # d\n'],
  ])('gives right places with %s', async (_, source) => {
    await parse(source, 'Module');
  });

  it('tells where names are that are no nodes', async () => {
    const source = `
from . import a
from .. b . c import d as e, \\
  f
from ...g import (h as i, # as
  j)
import k . l as m, n
class  o (p, q = r): pass
def \\
  s(t, /, u: int = 1, *v, w=2, **x) -> y: pass
async   def def_(a_b): pass
def é(ü): pass
try: pass
except (a, # as x
  b) as c: pass
except as_ as asas: pass
z (a = b, ** c, ** d
  . e . f)
def g():
  global h, \\
    i
  def j(): nonlocal k , l
match a:
  case b: pass
  case [c, *d]: pass
  case {"e": 1, ** f }: pass
  case {**g}: pass
  case h.i(1, (2), j = 3, k=(4 as l), ): pass
  case m(n=_): pass
  case None | True | -1 | "s" "t": pass
`;
    await parse(source, 'Module');
  });

  it('gives expressions in f-strings their places', async () => {
    const source = `
a = f"{b}{c}{d!r}{e:>{f}.{g}}" f'{h["i"]}' "{j}" rf"\\{k}{{l}}{m=}{n = !s:x}"
o = f'''{
  p
}
{q}
{r if s != t else u[v:w] }''' f"\\N{DIGIT ONE}{x}" f"{y!r:\\x20{z}}" f"{'é'}{A}𝒳{B}"
C = f'''{f"{D}{f'{E}'}"}{ {F: G}[H] }{(lambda I: J)}{(K := L)}{M,}{*N,}{O <= P}'''
`;
    const names = await slices(source, 'Name');
    // Sorted, as a tree is not always in the order of its source. i, j and l are text, I is a parameter.
    expect(names.sort().join('')).toBe('ABCDEFGHJKLMNOPabcdefghkmnopqrstuvwxyz');
    const fields = await slices(source, 'FormattedValue');
    expect(fields).toContain('{d!r}');
    expect(fields).toContain('{e:>{f}.{g}}');
    expect(fields).toContain('{n = !s:x}');
    expect(fields).toContain('{(lambda I: J)}');
  });

  it('keeps comments, each with its place, in the order of the source', async () => {
    const source = '#!/usr/bin/env python\nx = [ # one\n  "#", # two é\n]\n# three';
    expect(await slices(source, 'Comment')).toEqual(['#!/usr/bin/env python', '# one', '# two é', '# three']);
  });

  it('marks docstrings, and only them', async () => {
    const source =
      '"one"\n"no"\nclass A:\n  "two"\n  def f():\n    """three"""\nasync def g():\n  "four"\nif x:\n  "no"\ndef h(): b"no"\ndef i(): f"no"\n';
    const statements = await parse(source, 'Expr');
    const marked = statements.filter((statement) => statement['docstring'] === true);
    expect(marked.map(({ value }) => (isTreeObject(value) ? value['value'] : undefined))).toEqual([
      'one',
      'two',
      'three',
      'four',
    ]);
  });

  it('decodes a file as its coding declaration says', async () => {
    const bytes = Buffer.from('# coding: latin-1\nx = "é" + y\n', 'latin1');
    const answer = await driver.parseBytes(bytes);
    expect(answer.status).toBe('ok');
    expect(checkPythonTree(bytes.toString('latin1'), answer.ast).problems).toEqual([]);
    const unknown = await driver.parseBytes(Buffer.from('\n# vim: set fileencoding=nonsense :\n'));
    expect(unknown).toMatchObject({ status: 'error', ast: null });
    expect(unknown.errors[0]?.message).toContain('nonsense');
    // A transformation of bytes is no text encoding.
    expect((await driver.parseBytes(Buffer.from('# coding: base64\n'))).status).toBe('error');
    expect((await driver.parseBytes(Buffer.from('x = 1\n# coding: base64\n'))).status).toBe('ok');
  });

  it('says nothing of warnings', async () => {
    expect((await driver.parse('x = "\\d"\nx is 1\nassert (x, y)\n"a" "b"()\n1if x else y\n')).status).toBe('ok');
    expect(driver.stderr).toBe('');
  });

  it.each([
    ['x = (1,\n', { line: 1, column: 5, offset: 4 }],
    ['if x:\npass\n', { line: 2, column: 1 }],
    ['if x:\n\ty\n        z\n', { line: 3 }],
    ['"abc\n', { line: 1, column: 1, offset: 0 }],
    ['é = "é" 1 x\n', { line: 1 }],
    ['\ufeffx = = 1\n', { line: 1, column: 6, offset: 5 }],
    ['x\r\ny = = 1\r\n', { line: 2, column: 5, offset: 7 }],
    [`x = ${'9'.repeat(5000)}\n`, { line: 1 }],
    ['f"{a b}"\n', { line: 1 }],
    ['print "Python 2"\n', { line: 1, column: 1 }],
  ])('tells where the error in %j is', async (source, place) => {
    const answer = await driver.parse(source);
    expect(answer).toMatchObject({ status: 'error', errors: [place], ast: null });
    const { line = 0, column = 0, offset = -1 } = answer.errors[0] ?? {};
    expect(offset).toBeLessThanOrEqual(Array.from(source).length);
    expect([line, column].every((number) => number >= 1)).toBe(true);
  });
});
