// The javascript driver's own serialiser: what it writes is what JSON.stringify writes, byte for byte.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const library = fileURLToPath(new URL('../../catalog/javascript/lib/', import.meta.url));
const load = createRequire(import.meta.url);
const { writeAnswer } = load(path.join(library, 'serialise.cjs')) as {
  writeAnswer: (answer: object, to: (bytes: Buffer) => void) => number;
};
const { parseSource } = load(path.join(library, 'parse.cjs')) as { parseSource: (request: object) => object };

/** The pieces of an answer, each copied before the next overwrites it. */
const piecesOf = (answer: object): Buffer[] => {
  const pieces: Buffer[] = [];
  const length = writeAnswer(answer, (bytes) => pieces.push(Buffer.from(bytes)));
  expect(length).toBe(Buffer.concat(pieces).length);
  return pieces;
};

const expectSame = (answer: object): void => {
  expect(Buffer.concat(piecesOf(answer)).toString('utf8')).toBe(`${JSON.stringify(answer)}\n`);
};

describe('the serialiser of trees', () => {
  it('writes every value as JSON.stringify does', () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.string({ minLength: 40, maxLength: 60 }));
    const leaf = fc.oneof(
      text,
      fc.integer(),
      fc.nat(),
      fc.double(),
      fc.constantFrom(-0, 0, 999, 1000, 999_999, 1_000_000, 999_999_999, 1_000_000_000, 2 ** 31, null, undefined, true),
      fc.constantFrom(/x/g, new Date(0), new Map([[1, 2]]), Object('boxed'), () => 1, Symbol('s')),
      fc.constantFrom({ toJSON: () => 'own' }, Object.create(null), Object.create({ inherited: 1 })),
    );
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof({ maxDepth: 5 }, leaf, fc.array(tie('tree'), { maxLength: 5 }), tie('object')),
      object: fc.dictionary(fc.oneof(text, fc.constantFrom('type', 'loc', 'start', 'end')), tie('tree'), {
        maxKeys: 6,
      }),
    }));
    fc.assert(
      fc.property(fc.array(tree), text, (ast, message) => {
        expectSame({ id: message, status: 'ok', errors: [{ message }], ast });
      }),
      { numRuns: 500 },
    );
  });

  it('writes the trees of sources as JSON.stringify does, with numbers of every length', () => {
    const sources = [
      ['parser.ts', readFileSync(new URL('../../src/drivers/parse/parser.ts', import.meta.url), 'utf8')],
      ['serialise.cjs', readFileSync(path.join(library, 'serialise.cjs'), 'utf8')],
      ['long.js', `${'\n'.repeat(1_100_000)}${' '.repeat(1200)}let \u{1f600} = "é\\u2028", z = /[/]"/u; f\`\${1}\`;`],
      ['wrong.js', 'let let = ; class { #a #a }'],
      ['empty.js', ''],
    ] as const;
    for (const [filename, source] of sources) {
      expectSame(parseSource({ source: () => source, language: '', filename }));
    }
  });

  it('writes nodes that are not as Babel makes them as JSON.stringify does', () => {
    interface Node {
      [member: string]: unknown;
      loc: { [member: string]: unknown; start: Record<string, unknown> };
    }
    const changes: ((node: Node) => void)[] = [
      (node) => (node['type'] = 7),
      (node) => (node['type'] = ''),
      (node) => (node['type'] = 'Typé"\n'),
      (node) => (node['type'] = 'T'.repeat(1000)),
      (node) => (node['start'] = -1),
      (node) => (node['end'] = undefined),
      (node) => (node['end'] = 1_000_000_000),
      (node) => (node['more'] = undefined),
      (node) => (node['é"'] = [() => 1, Symbol('s'), null]),
      (node) => (node.loc['filename'] = 'a.js'),
      (node) => (node.loc['identifierName'] = 'é"'.repeat(30)),
      (node) => (node.loc['identifierName'] = '\u0001'.repeat(100_000)),
      (node) => (node.loc.start['line'] = 1.5),
      (node) => (node.loc.start['index'] = undefined),
      (node) => ((node as Record<string, unknown>)['loc'] = null),
      (node) => {
        // In another order.
        const { start } = node;
        delete node['start'];
        node['start'] = start;
      },
    ];
    const parsed = () => parseSource({ source: () => 'let a = b;\n// c', language: '', filename: 'a.js' });
    expectSame(parsed());
    for (const change of changes) {
      const answer = parsed() as { ast: { program: { body: Node[] }; comments: Node[] } };
      const [node] = answer.ast.program.body;
      const [comment] = answer.ast.comments;
      if (node === undefined || comment === undefined) throw new Error('no node');
      change(node);
      change(comment);
      expectSame(answer);
      // Wherever a piece ends.
      expectSame({ ...answer, ast: { much: 'x'.repeat(190_000), node, comment, ...answer.ast } });
    }
  });

  it('makes room for what is larger than its buffer, and goes back to it', () => {
    const ast = Array.from({ length: 100_000 }, (_, index) => ({ type: 'Large', index, text: 'é'.repeat(40) }));
    expectSame({ status: 'ok', ast });
    expectSame({ status: 'ok', ast: 'x'.repeat(9_000_000) });
    expectSame({ status: 'ok', ast: null });
  });

  it('hands a large answer on while it is made, and a small one at once', () => {
    const ast = Array.from({ length: 20_000 }, (_, index) => ({ type: 'Node', index }));
    const pieces = piecesOf({ status: 'ok', ast });
    expect(pieces.length).toBeGreaterThan(2);
    expect(Math.max(...pieces.map((piece) => piece.length))).toBeLessThanOrEqual(192 * 1024);
    expect(piecesOf({ status: 'ok', ast: ast.slice(0, 1000) })).toHaveLength(1);
  });

  it('writes trees that nest deeper than the stack, also where part of them has been handed on before', () => {
    const first = Array.from({ length: 20_000 }, () => 'é"'.repeat(5));
    const nest = (inner: unknown, levels: number): unknown => {
      let tree = inner;
      for (let level = 0; level < levels; level += 1)
        tree = level % 2 === 0 ? [tree] : { type: 'é', skip: undefined, tree };
      return tree;
    };
    const levels = 100_000;
    const opened = '{"type":"é","tree":['.repeat(levels / 2);
    for (const before of [[], first, [nest(first, 1000)]]) {
      const pieces = piecesOf({ status: 'ok', ast: [...before, nest(7, levels)] });
      const whole = JSON.stringify({ status: 'ok', ast: [...before, '?'] });
      expect(
        Buffer.concat(pieces).equals(Buffer.from(`${whole.replace('"?"', `${opened}7${']}'.repeat(levels / 2)}`)}\n`)),
      ).toBe(true);
      expectSame({ status: 'ok', ast: [1] });
    }
  });

  it('writes the end of deep trees wherever it falls in a piece', () => {
    for (let length = 185_000; length < 197_000; length += 67) {
      const deep = JSON.parse(
        `${'['.repeat(3000)}${'{"a":'.repeat(500)}1${'}'.repeat(500)}${']'.repeat(3000)}`,
      ) as unknown;
      expectSame({ status: 'ok', ast: ['x'.repeat(length), deep, 'y'] });
    }
  });
});
