// Messages whose trees stay bytes: the same as decoding all of it, whatever the tree and the rest hold.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RawJson } from '../../src/json/raw-json.ts';
import { decodeWithRawTrees } from '../../src/protocol/raw-trees.ts';

const decode = (message: unknown, indent?: number): unknown =>
  decodeWithRawTrees(Buffer.from(JSON.stringify(message, undefined, indent)));

/** The message with its trees decoded after all. */
const whole = (message: unknown): unknown => JSON.parse(JSON.stringify(message));

const trees = (message: unknown): unknown[] => {
  const found: unknown[] = [];
  const look = (value: unknown): void => {
    if (value instanceof RawJson) found.push(value.decode());
    else if (typeof value === 'object' && value !== null) Object.values(value).forEach(look);
  };
  look(message);
  return found;
};

describe('decodeWithRawTrees', () => {
  it('leaves the tree of an answer and of each partial result as bytes', () => {
    const answer = decode({ jsonrpc: '2.0', id: 1, result: { status: 'ok', uast: { a: [1, '}'] } } });
    expect(trees(answer)).toEqual([{ a: [1, '}'] }]);
    const value = [
      { uri: 'a', uast: [] },
      { uri: 'b', error: {} },
      { uri: 'c', uast: null, after: '"uast":' },
    ];
    const progress = decode({ method: '$/progress', params: { token: 't', value } });
    expect(trees(progress)).toEqual([[], null]);
    expect(whole(progress)).toEqual({ method: '$/progress', params: { token: 't', value } });
  });

  it('takes for a tree only what stands where trees stand', () => {
    for (const message of [
      { id: 1, result: { drivers: [{ uast: 1 }] } },
      { id: 1, result: { errors: [{ message: 'x', uast: { deep: 1 } }], other: '"uast":{' } },
      { id: 1, error: { code: 1, data: { kind: 'x', more: { uast: 2 } } } },
      { uast: 1 },
    ]) {
      expect(trees(decode(message))).toEqual([]);
      expect(decode(message)).toEqual(message);
    }
  });

  it('decodes every message to what JSON.parse makes of it', () => {
    const json = fc.jsonValue({ maxDepth: 4 });
    const result = fc.record({ errors: fc.array(json, { maxLength: 2 }), uast: json, 'odd\\"key': json });
    const message = fc.oneof(
      fc.record({ id: fc.integer(), result }),
      fc.record({ params: fc.record({ token: fc.string(), value: fc.array(result, { maxLength: 3 }) }) }),
      json,
    );
    fc.assert(
      fc.property(message, fc.constantFrom(0, 2), (value, indent) => {
        expect(whole(decode(value, indent))).toEqual(whole(value));
      }),
    );
  });

  it('ends long trees where they end, whatever stands in them and behind them', () => {
    const text = fc.string({
      unit: fc.constantFrom('a', '"', '\\', '{[', '}]', ',', 'é', 'x'.repeat(70)),
      maxLength: 6,
    });
    // V8's JSON.parse (Node 24) may take the keys "\"" and "\\" of objects that are alike else for each other.
    const name = text.map((key) => key.replaceAll('\\', '/'));
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 6 },
        text,
        fc.constantFrom(0, -1.5e30, 1234567, true, null),
        fc.array(tie('tree'), { maxLength: 6 }),
        fc.dictionary(name, tie('tree'), { maxKeys: 6 }),
      ),
    }));
    const result = fc.record({
      uri: fc.constant('a'),
      uast: fc.oneof(fc.array(tree, { minLength: 5, maxLength: 30 }), fc.dictionary(name, tree, { minKeys: 5 }), tree),
      after: fc.oneof(tree, fc.constant('y'.repeat(100))),
    });
    fc.assert(
      fc.property(fc.array(result, { minLength: 1, maxLength: 3 }), fc.constantFrom(0, 1), (value, indent) => {
        const message = decode({ method: '$/progress', params: { token: 't', value } }, indent);
        expect(trees(message)).toEqual(value.map(({ uast }) => uast));
        expect(whole(message)).toEqual(whole({ method: '$/progress', params: { token: 't', value } }));
      }),
    );
    const deep = `${'[{"a":'.repeat(5000)}1${'}]'.repeat(5000)}`;
    const message = decodeWithRawTrees(Buffer.from(`{"result":{"uast":${deep},"after":{"b":[1]}}}`));
    expect((message as { result: { uast: RawJson } }).result.uast.byteLength).toBe(deep.length);
  });

  it('steps over trees of more than one piece, cut at any of their bytes', () => {
    const node = { type: 'Name', at: [1, 20, -3.5e1, true], of: { id: 'x\n"' } };
    const uast = Array.from({ length: 3000 }, () => node);
    for (let shift = 0; shift < 70; shift += 1) {
      const message = { id: 1, result: { before: 'z'.repeat(shift), uast, after: [uast[0]] } };
      const [found] = [(decode(message) as { result: { uast: RawJson } }).result.uast];
      expect(found.byteLength).toBe(JSON.stringify(uast).length);
    }
  });

  it('steps over a tree by the length that the host tells, without looking at it', () => {
    const odd = '[{{"';
    const response = decodeWithRawTrees(
      Buffer.from(`{"jsonrpc":"2.0","id":1,"result":{"errors":[],"uastBytes":${odd.length},"uast":${odd}}}`),
    );
    expect((response as { result: { uast: RawJson } }).result.uast.chunks.join('')).toBe(odd);
    const progress = decodeWithRawTrees(
      Buffer.from(
        `{"jsonrpc":"2.0","method":"$/progress","params":{"token":1,"value":[{"uastBytes":4,"uast":${odd},"uri":"a"},{"uastBytes":4,"uast":null}]}}`,
      ),
    ) as { params: { value: { uast: RawJson }[] } };
    expect(progress.params.value.map(({ uast }) => uast.chunks.join(''))).toEqual([odd, 'null']);
    expect(progress.params.value[0]).toMatchObject({ uri: 'a', uastBytes: 4 });
  });

  it('goes by no length that cannot be the tree’s, and by none that a driver can have written', () => {
    const uast = { a: [1, 'x,}'] };
    const { length } = JSON.stringify(uast);
    for (const uastBytes of [0, 1, length - 2, length + 1, 1e6, 1e20, -1, 1.5, '1', null, [length], { 1: length }]) {
      const message = { jsonrpc: '2.0', id: 1, result: { uastBytes, uast, after: [] } };
      expect(trees(decode(message))).toEqual([uast]);
      expect(whole(decode(message))).toEqual(message);
    }
    const text = JSON.stringify({ uast });
    for (let lies = 0; lies < 80; lies += 1) {
      const forged = { message: 'x', uastBytes: lies, uast: [text, '}]', { uastBytes: lies, uast: text }] };
      const result = { errors: [forged], [`"uastBytes":${lies},`]: text, uastBytes: length, uast };
      const answer = { jsonrpc: '2.0', id: 1, result };
      expect(whole(decode(answer))).toEqual(answer);
      const progress = { jsonrpc: '2.0', method: '$/progress', params: { token: 1, value: [result, result] } };
      expect(trees(decode(progress))).toEqual([uast, uast]);
      expect(whole(decode(progress))).toEqual(progress);
    }
  });

  it('refuses what is not JSON outside the trees', () => {
    for (const text of ['', '{', '{"result":', '{"result":{"uast":1}', '{"result":{"uast"', '"a']) {
      expect(() => decodeWithRawTrees(Buffer.from(text))).toThrow(SyntaxError);
    }
  });
});
