import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JsonLineScanner, JsonScanner } from '../../src/json/scanner.ts';

/** Scans `text` in pieces of the given sizes (the last one repeats), as it might arrive from a pipe. */
function scan(
  text: string | Buffer,
  sizes: readonly number[] = [1 << 20],
  depthLimit = 1000,
): JsonLineScanner & { end: number; complete: boolean } {
  const bytes = Buffer.from(text as string);
  const scanner = Object.assign(new JsonLineScanner(depthLimit), { end: -1, complete: false });
  let at = 0;
  for (let turn = 0; at < bytes.length && scanner.end < 0; turn += 1) {
    const size = Math.max(sizes[Math.min(turn, sizes.length - 1)] ?? 1, 1);
    const end = scanner.feed(bytes.subarray(at, at + size));
    if (end >= 0) scanner.end = at + end;
    at += size;
  }
  scanner.complete = scanner.end >= 0;
  return scanner;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What a text is damaged with. */
const pieceOfDamage = fc.constantFrom(
  ...[
    '',
    '"',
    '\\',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '0',
    '1',
    '-',
    '.',
    'e',
    'u',
    't',
    ' ',
    'é',
    '\u0001',
    'null',
    '00',
    '":',
  ],
);

describe('the scanner of answers', () => {
  it('finds the members of the envelope in any order', () => {
    const text = '{ "ast": {"a": [1, {"status": "x"}]}, "errors" :[], "status":"ok" }\n';
    const { members, complete } = scan(text);
    expect(complete).toBe(true);
    const spans = Object.fromEntries([...members].map(([name, { start, end }]) => [name, text.slice(start, end)]));
    expect(spans).toEqual({ ast: '{"a": [1, {"status": "x"}]}', errors: '[]', status: '"ok"' });
  });

  it('accepts every JSON text, however it is cut, and finds its members', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string(), fc.jsonValue()),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        (value, sizes) => {
          const text = `${JSON.stringify(value)}\n`;
          const bytes = Buffer.from(text);
          const scanner = scan(text, sizes);
          expect(scanner.fault).toBeUndefined();
          expect(scanner.complete).toBe(true);
          expect(scanner.end).toBe(bytes.length);
          for (const [name, member] of Object.entries(value)) {
            // Names longer than any of the envelope's are cut; they are nobody's concern.
            const key = JSON.stringify(name).slice(1, -1);
            if (Buffer.byteLength(key) >= 64) continue;
            const span = scanner.members.get(key);
            expect(JSON.parse(bytes.subarray(span?.start, span?.end).toString())).toEqual(
              JSON.parse(JSON.stringify(member)),
            );
          }
        },
      ),
    );
  });

  it('agrees with JSON.parse on what is JSON when a text is damaged', () => {
    const damage = fc.record({
      at: fc.nat(),
      with: pieceOfDamage,
    });
    fc.assert(
      fc.property(fc.jsonValue(), fc.array(damage, { minLength: 1, maxLength: 4 }), (value, damages) => {
        let text = JSON.stringify({ status: 'ok', ast: value });
        for (const { at, with: piece } of damages) {
          const place = at % (text.length + 1);
          text = text.slice(0, place) + piece + text.slice(place + 1);
        }
        fc.pre(!text.includes('\n') && text.trim() !== '');
        const scanner = scan(`${text}\n`, [3, 5, 7]);
        // The scanner refuses members that are there twice; JSON.parse takes the last.
        if (scanner.fault?.reason.startsWith('a member twice') === true) return;
        expect({ text, accepted: scanner.complete }).toEqual({ text, accepted: isJson(text) });
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ['an answer that closes itself and goes on', '{"ast":null},"id":7,"result":{}}\n', 'more follows'],
    ['a member twice', '{"status":"ok","status":"error"}\n', 'a member twice'],
    ['garbage', 'Traceback (most recent call last):\n', 'a value is missing'],
    ['an empty line', '\n', 'an empty line'],
    ['a raw newline in a string', '{"a":"\n"}\n', 'a control character'],
    ['a number with a leading zero', '{"a":01}\n', 'a malformed number'],
    ['a trailing comma', '{"a":[1,]}\n', 'a value is missing'],
    ['brackets that do not match', '{"a":[1}}\n', 'a comma or a closing bracket'],
  ])('refuses %s', (_name, text, reason) => {
    expect(scan(text).fault?.reason).toContain(reason);
    expect(scan(text, [1]).fault?.reason).toContain(reason);
  });

  describe('in long trees, most of which it takes in blocks', () => {
    const gap = fc.constantFrom('', '', '', '', ' ', '  ', '\t', ' \r', ' '.repeat(70));
    const character = fc.constantFrom(
      ...[
        'a',
        'type',
        'é',
        '日本',
        '\\n',
        '\\u00e9',
        '\\"',
        '\\\\',
        '\\/\\b',
        '{[',
        ']}',
        ':,',
        '  ',
        'x'.repeat(62),
        '0',
      ],
    );
    const text = fc.array(character, { maxLength: 4 }).map((parts) => `"${parts.join('')}"`);
    const number = fc.constantFrom('0', '-0', '7', '1234567890', '1.5', '-1.5e10', '1E+5', '10e-3', '9'.repeat(40));
    const word = fc.constantFrom('true', 'false', 'null');
    const { tree } = fc.letrec<{ tree: string; list: string; record: string }>((tie) => ({
      tree: fc.oneof({ maxDepth: 7 }, text, number, word, tie('list'), tie('record')),
      list: fc.array(fc.tuple(gap, tie('tree'), gap), { maxLength: 5 }).map((items) => {
        return `[${items.map((item) => item.join('')).join(',')}]`;
      }),
      record: fc.array(fc.tuple(gap, text, gap, tie('tree'), gap), { maxLength: 4 }).map((members) => {
        return `{${members.map(([a, name, b, member, c]) => `${a}${name}${b}:${member}${c}`).join(',')}}`;
      }),
    }));
    const answer = fc
      .array(tree, { minLength: 3, maxLength: 12 })
      .map((trees) => `{"status":"ok","ast":{"a":[${trees.join(',')}]},"errors":[]}`);
    const damage = fc.record({
      at: fc.nat(),
      length: fc.nat(2),
      piece: pieceOfDamage,
    });

    function damaged(whole: string, damages: readonly { at: number; length: number; piece: string }[]): string {
      return damages.reduce((before, { at, length, piece }) => {
        const place = at % (before.length + 1);
        return before.slice(0, place) + piece + before.slice(place + length);
      }, whole);
    }

    it('agrees with JSON.parse on what is JSON, and with itself however the text is cut', () => {
      fc.assert(
        fc.property(
          answer,
          fc.array(damage, { maxLength: 3 }),
          fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }),
          (whole, damages, sizes) => {
            const line = damaged(whole, damages);
            // Byte by byte it never sees a block.
            const [bytewise, pieces, atOnce] = [scan(`${line}\n`, [1]), scan(`${line}\n`, sizes), scan(`${line}\n`)];
            const found = ({ fault, complete, members }: ReturnType<typeof scan>) => ({
              fault,
              complete,
              members: [...members],
            });
            expect({ line, ...found(pieces) }).toEqual({ line, ...found(bytewise) });
            expect({ line, ...found(atOnce) }).toEqual({ line, ...found(bytewise) });
            if (bytewise.fault?.reason.startsWith('a member twice') === true) return;
            expect({ line, accepted: atOnce.complete }).toEqual({ line, accepted: isJson(line) });
          },
        ),
        { numRuns: 1500 },
      );
    });

    it('finds a fault in each place of a tree', () => {
      const tree = '{"type":"Name","at":[1,20,-3.5e1,true],"of":{"id":"x\\n"}}';
      const whole = `{"ast":[${Array.from({ length: 8 }, () => tree).join(',')}]}`;
      for (let place = 0; place < whole.length; place += 1) {
        for (const piece of ['', '"', ',', '}', '\u0001', '[', '0']) {
          const line = whole.slice(0, place) + piece + whole.slice(place + 1);
          const { complete, fault } = scan(`${line}\n`);
          expect({ line, complete, fault }).toEqual({
            line,
            complete: isJson(line),
            fault: scan(`${line}\n`, [1]).fault,
          });
        }
      }
    });

    it('keeps two answers apart that come by turns', () => {
      const lines = ['[1,{"a":"x"}]', '{"b":["y",[2]]}'].map((tree) =>
        Buffer.from(`{"ast":[${Array.from({ length: 500 }, () => tree).join(',')}]}\n`),
      );
      const scanners = lines.map(() => new JsonLineScanner(1000));
      const ended: number[] = [];
      for (let at = 0; at < 10_000; at += 100) {
        for (const [index, scanner] of scanners.entries()) {
          const piece = (lines[index] ?? Buffer.of()).subarray(at, at + 100);
          if (scanner.feed(piece) >= 0) ended.push(index);
        }
      }
      expect(scanners.map(({ fault }) => fault)).toEqual([undefined, undefined]);
      expect(ended).toEqual([0, 1]);
    });

    it('takes more levels than its memory has at first', () => {
      const deep = `{"ast":${'[{"a":'.repeat(50_000)}1${'}]'.repeat(50_000)}}`;
      expect(scan(`${deep}\n`, [1 << 20], 200_000).complete).toBe(true);
      const one = scan(`${deep.replace('1}', '1]')}\n`, [1 << 20], 200_000);
      expect(one.fault).toEqual(scan(`${deep.replace('1}', '1]')}\n`, [1], 200_000).fault);
      expect(scan(`${deep}\n`, [1 << 20], 1000).fault?.reason).toContain('more than 1000 levels');
    });
  });

  it('bounds the depth of nesting', () => {
    expect(scan(`${'['.repeat(11)}${']'.repeat(11)}\n`, [1000], 10).fault?.reason).toContain('more than 10 levels');
    expect(scan(`${'['.repeat(500)}${']'.repeat(500)}\n`, [7], 500).complete).toBe(true);
  });
});

describe('the scanner of texts of several lines', () => {
  it('tells of members down to a depth, where they lie, and not of what is deeper', () => {
    const text = JSON.stringify({ a: { b: [{ c: 1 }, { d: { e: { f: 2 } } }] }, g: 'x' }, undefined, 2);
    for (const size of [1, 3, 1000]) {
      const found: [string, number, unknown][] = [];
      const scanner = new JsonScanner({
        depthLimit: 100,
        onMember: (name, depth, { start, end }) => found.push([name, depth, JSON.parse(text.slice(start, end))]),
      });
      scanner.memberDepth = 4;
      for (let at = 0; at < text.length; at += size) {
        expect(scanner.feed(Buffer.from(text.slice(at, at + size)))).toBe(-1);
      }
      expect(scanner.fault).toBeUndefined();
      expect(found).toEqual([
        ['c', 4, 1],
        ['d', 4, { e: { f: 2 } }],
        ['b', 2, [{ c: 1 }, { d: { e: { f: 2 } } }]],
        ['a', 1, { b: [{ c: 1 }, { d: { e: { f: 2 } } }] }],
        ['g', 1, 'x'],
      ]);
    }
  });

  it('does not look at values whose end it is told', () => {
    const text = '{"a":[{{"x,"b":true}';
    const found: string[] = [];
    const scanner = new JsonScanner({
      depthLimit: 100,
      onName: (name) => (name === 'a' ? { valueEnd: text.indexOf(',') } : undefined),
      onMember: (name) => found.push(name),
    });
    scanner.feed(Buffer.from(text));
    expect(scanner.fault).toBeUndefined();
    expect(found).toEqual(['b']);
  });

  it('goes on with one text after another, whatever they have open', () => {
    const texts = [
      `{"a":${'['.repeat(90_000)}${']'.repeat(90_000)}}`,
      '{"b":{"c":"x"},"d":[{}]}',
      `[${'{"e":'.repeat(9)}`,
    ];
    const found: string[] = [];
    const scanners = texts.map(() => new JsonScanner({ depthLimit: 1e6, onMember: (name) => found.push(name) }));
    let from = 0;
    for (const to of [1, 7, 20, 22, 80_000, 100_000, 200_000]) {
      for (const [index, text] of texts.entries()) scanners[index]?.feed(Buffer.from(text.slice(from, to)));
      from = to;
    }
    expect(scanners.map(({ fault }) => fault)).toEqual([undefined, undefined, undefined]);
    expect(found).toEqual(['b', 'd', 'a']);
  });
});
