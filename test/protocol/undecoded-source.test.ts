// Messages whose source stays the bytes that it is: the same as decoding all of it, whatever the message is.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { undecoded, type WithSource } from '../../src/protocol/served-request.ts';
import { decodeWithSource } from '../../src/protocol/undecoded-source.ts';

interface Parse extends WithSource {
  params: { content: unknown };
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** The message with its source put where it belongs. */
function whole(content: Buffer): unknown {
  const message = decodeWithSource(content);
  if (!isObject(message) || !(undecoded in message)) return message;
  const parse = message as Parse;
  parse.params.content = parse[undecoded]?.text;
  Reflect.deleteProperty(parse, undecoded);
  return parse;
}

const outcome = (decode: () => unknown): unknown => {
  try {
    return { message: decode() };
  } catch (error) {
    return { thrown: error instanceof SyntaxError };
  }
};

function expectTheSame(content: Buffer): void {
  expect(outcome(() => whole(content))).toEqual(outcome(() => JSON.parse(content.toString('utf8'))));
}

const isUndecoded = (text: string): boolean => {
  const message = decodeWithSource(Buffer.from(text));
  return isObject(message) && undecoded in message;
};

describe('a message with a source', () => {
  it('has it left undecoded where it is the content of a request to parse', () => {
    const params = { content: 'a "b"\n\\ é😀', language: 'x', filename: '"content":"y"' };
    const message = { jsonrpc: '2.0', id: 1, method: 'parse', params };
    for (const indent of [undefined, 1]) {
      const text = JSON.stringify(message, undefined, indent === undefined ? undefined : '').replace('":', '" : ');
      expect(isUndecoded(text)).toBe(true);
      expect(whole(Buffer.from(text))).toEqual(message);
    }
    expect(isUndecoded('{"params": {"content" :  ""}, "method": "parse"}')).toBe(true);
  });

  it.each([
    ['another method', '{"method":"container/copyTo","params":{"content":"a"}}'],
    ['no method', '{"id":1,"params":{"content":"a"}}'],
    ['content elsewhere', '{"method":"parse","content":"a","params":{"uri":"b"}}'],
    ['content elsewhere first', '{"content":"a","method":"parse","params":{"content":"b"}}'],
    ['content further in', '{"method":"parse","params":{"_meta":{"content":"a"}}}'],
    ['content twice', '{"method":"parse","params":{"content":"a","content":"b"}}'],
    ['parameters twice', '{"method":"parse","params":{"content":"a"},"params":{"content":"b"}}'],
    ['content that is no string', '{"method":"parse","params":{"content":["a"]}}'],
    ['a name that ends so', '{"method":"parse","params":{"\\"content":"a"}}'],
    ['a value that is the name', '{"method":"parse","params":{"filename":"content","content":"a"}}'],
    ['a name with an escape', '{"method":"parse","params":{"c\\u006fntent":"a"}}'],
    ['a text with an escape that need not be', '{"method":"parse","params":{"content":"a\\/b"}}'],
    ['half a character', '{"method":"parse","params":{"content":"\\ud800"}}'],
    ['a list for parameters', '{"method":"parse","params":[{"content":"a"}]}'],
    ['a batch', '[{"method":"parse","params":{"content":"a"}}]'],
    ['nothing', 'null'],
  ])('is decoded whole where it has %s', (_what, text) => {
    expect(isUndecoded(text)).toBe(false);
    expect(whole(Buffer.from(text))).toEqual(JSON.parse(text));
  });

  it('is the same as decoded whole, or no message either, however it is damaged', () => {
    const text = fc.constantFrom(
      '',
      'a',
      '\\n',
      '\\"',
      '\\u0041',
      '\\ud83d',
      'é',
      'x'.repeat(100),
      'content',
      '\\',
      '\n',
    );
    const string = fc.array(text, { maxLength: 4 }).map((parts) => `"${parts.join('')}"`);
    const name = fc.constantFrom('"content"', '"content"', '"params"', '"method"', '"c\\u006fntent"', '"__proto__"');
    const gap = fc.constantFrom('', '', ' ', '\n');
    const { value } = fc.letrec<{ value: string; record: string }>((tie) => ({
      value: fc.oneof({ maxDepth: 3 }, string, fc.constantFrom('1', 'null', '"parse"'), tie('record')),
      record: fc
        .array(fc.tuple(name, gap, tie('value')), { maxLength: 4 })
        .map((members) => `{${members.map(([key, space, of]) => `${key}${space}:${space}${of}`).join(',')}}`),
    }));
    const message = fc.tuple(value, value, fc.boolean()).map(([params, other, first]) => {
      const members = ['"method":"parse"', `"params":{"content":${params},"more":${other}}`];
      return `{${(first ? members : members.toReversed()).join(',')}}`;
    });
    const damage = fc.record({
      at: fc.nat(),
      remove: fc.nat({ max: 3 }),
      add: fc.constantFrom('', '"', '\\', '}', ',', ':', '\xff'),
    });
    fc.assert(
      fc.property(fc.oneof(message, value), fc.array(damage, { maxLength: 2 }), (json, damages) => {
        let bytes = Buffer.from(json);
        for (const { at, remove, add } of damages) {
          const place = at % (bytes.length + 1);
          bytes = Buffer.concat([bytes.subarray(0, place), Buffer.from(add, 'latin1'), bytes.subarray(place + remove)]);
        }
        expectTheSame(bytes);
      }),
      { numRuns: 5000 },
    );
  });

  it('is the same as decoded whole wherever it is cut', () => {
    const bytes = Buffer.from('{"method":"parse","params":{"content":"a\\n\\"é😀\\\\","language":"x"},"id":1}');
    for (let length = 0; length <= bytes.length; length += 1) expectTheSame(bytes.subarray(0, length));
  });

  it('gives memory of its own back at once where it was decoded whole, and keeps it where the source lies in it', () => {
    const copyOf = (method: string): Buffer => {
      const bytes = Buffer.from(JSON.stringify({ method, params: { content: 'x'.repeat(10_000) } }));
      const copy = Buffer.allocUnsafeSlow(bytes.length);
      bytes.copy(copy);
      return copy;
    };
    const [other, parse, shared] = [copyOf('other'), copyOf('parse'), copyOf('other')];
    expect(decodeWithSource(other, other)).toMatchObject({ method: 'other' });
    expect(other.length).toBe(0);
    expect((decodeWithSource(parse, parse) as Parse)[undecoded]?.text).toBe('x'.repeat(10_000));
    expect(parse.length).toBeGreaterThan(10_000);
    decodeWithSource(shared);
    expect(shared.length).toBeGreaterThan(10_000);
  });
});
