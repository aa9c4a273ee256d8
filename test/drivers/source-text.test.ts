// Sources that are not decoded: taken only where the line to the driver is byte for byte what it is for the decoded text.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeRequest } from '../../src/drivers/native-protocol.ts';
import { SourceText } from '../../src/drivers/source-text.ts';

const driver = { name: 'd', language: 'd', aliases: [], features: ['hint.language', 'hint.filename'] };
const hints = { encoding: 'utf8', filename: 'a.d' } as const;

/** The string of a JSON text, where it is one, with what is behind it left out. */
const stringAt = (json: string): string | undefined => {
  const [literal] = /^"(?:[^"\\]|\\[^])*"/.exec(json) ?? [];
  try {
    return literal !== undefined && typeof JSON.parse(literal) === 'string' ? literal : undefined;
  } catch {
    return undefined;
  }
};

/** What the string is to be taken as: nothing, or itself where it is as JSON.stringify writes it, surrogates apart. */
const expected = (json: string): string | undefined => {
  const literal = stringAt(json);
  if (literal === undefined) return undefined;
  const text = JSON.parse(literal) as string;
  return JSON.stringify(text) === literal && !/\p{Surrogate}/u.test(text) ? literal : undefined;
};

/** Memory of its own, as the reader's copies have. */
const copyOf = (text: string): Buffer => {
  const bytes = Buffer.from(text);
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
};

function check(json: string, before = ''): void {
  const wanted = expected(json);
  const start = Buffer.byteLength(before);
  const source = SourceText.in(Buffer.from(before + json), start);
  expect(source !== undefined).toBe(wanted !== undefined);
  if (source === undefined || wanted === undefined) return;
  const text = JSON.parse(wanted) as string;
  expect(source.length).toBe(Buffer.byteLength(wanted));
  expect(source.bytes).toBe(Buffer.byteLength(text));
  expect(source.text).toBe(text);
  const line = encodeRequest({ content: source, ...hints }, 'd', driver);
  expect(line.equals(encodeRequest({ content: text, ...hints }, 'd', driver))).toBe(true);
}

/** What strings consist of, right and wrong. */
const part = fc.constantFrom(
  ...['a', 'x'.repeat(15), 'y'.repeat(16), 'z'.repeat(61), 'é', '😀', '\u2028', '\u007f', ' ', '{}', '\\\\', '\\"'],
  ...['\\n', '\\r', '\\t', '\\b', '\\f', '\\u0000', '\\u001f', '\\u000b', '\\u001F', '\\u000a', '\\u0008', '\\u0020'],
  ...[
    '\\/',
    '\\u0041',
    '\\u00e9',
    '\\ud83d\\ude00',
    '\\ud800',
    '\\x',
    '\\u00',
    '\\u001',
    '\\u001g',
    '\\',
    '"',
    '\n',
    '\u001f',
  ],
);

describe('a source that is not decoded', () => {
  it('is any text that JSON.stringify has written, and the line is as it is for the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (text, behind) => {
        check(JSON.stringify(text) + behind, '{"content":');
      }),
    );
  });

  it('is nothing that is written in another way, or that is no string', () => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), fc.constantFrom('"', '', '",'), (parts, end) => {
        check(`"${parts.join('')}${end}`);
      }),
      { numRuns: 3000 },
    );
  });

  it.each(['\\n', '\\u001f', '\\"', '\\u0041', '\\ud800', '\\', 'é', '"', '\n'])(
    'is the same wherever %j stands in a long text',
    (odd) => {
      // What is looked at at once ends after 64 KB.
      const piece = 65_536;
      for (let before = piece - 8; before <= piece + 2; before += 1) {
        check(`"${'x'.repeat(before)}${odd}${'y'.repeat(100)}"`);
        check(`"${'x'.repeat(before)}${odd}"`);
        check(`"${'x'.repeat(before)}${odd}`);
      }
    },
  );

  it('is no text that is not UTF-8', () => {
    for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0x98]]) {
      expect(SourceText.in(Buffer.from([0x22, ...bytes, 0x22]), 0)).toBeUndefined();
    }
  });

  it('gives the memory of its message back when it is in the line, and can be written to another line after that', () => {
    const text = 'source\n'.repeat(2000);
    const message = copyOf(`{"content":${JSON.stringify(text)}}`);
    const source = SourceText.in(message, 11, message);
    if (source === undefined) throw new Error('it was not taken');
    const lines = [0, 1].map(() => encodeRequest({ content: source, ...hints }, 'd', driver));
    expect(message.length).toBe(0);
    for (const line of lines) expect(JSON.parse(line.toString())).toMatchObject({ content: text });
    const shared = copyOf(`{"content":${JSON.stringify(text)}}`);
    encodeRequest({ content: SourceText.in(shared, 11) ?? '', ...hints }, 'd', driver);
    expect(shared.length).toBeGreaterThan(text.length);
  });

  it('is what a file’s bytes become, and the line is as it is for their text', () => {
    const checkFile = (text: string): void => {
      const bytes = Buffer.from(text);
      const source = SourceText.of(bytes);
      const literal = JSON.stringify(text);
      expect(source.length).toBe(Buffer.byteLength(literal));
      expect(source.bytes).toBe(bytes.length);
      const line = encodeRequest({ content: source, ...hints }, 'd', driver);
      expect(line.equals(encodeRequest({ content: text, ...hints }, 'd', driver))).toBe(true);
      expect(source.text).toBe(text);
    };
    const everything = Array.from({ length: 0x300 }, (_, code) => String.fromCharCode(code)).join('');
    for (let before = 0; before < 34; before += 1) checkFile('x'.repeat(before) + everything);
    for (let code = 0; code < 0x80; code += 1) {
      // What becomes a string at once ends after 8 KB.
      for (const before of [8190, 8191, 8192, 16_383])
        checkFile('x'.repeat(before) + String.fromCharCode(code).repeat(3));
      // All of them with as many bytes as there can be.
      checkFile(String.fromCharCode(code).repeat(20_000));
    }
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary-ascii' }))), (parts) => {
        checkFile(parts.join('').repeat(7));
      }),
      { numRuns: 1000 },
    );
  });
});
