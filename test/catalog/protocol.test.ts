// What both drivers have in common: the native protocol, and what they do with input that is broken.
import { describe, expect, it } from 'vitest';
import { NativeDriver, type CatalogLanguage } from './native-driver.ts';

const drivers: { language: CatalogLanguage; valid: string; invalid: string; nested: (depth: number) => string }[] = [
  {
    language: 'javascript',
    valid: 'const x = "é✓𝒳"; // comment\n',
    invalid: 'const a = 1;\nconst = 𝒳;\n',
    nested: (depth) => `${'['.repeat(depth)}1${']'.repeat(depth)}`,
  },
  {
    language: 'python',
    valid: 'x = "é✓𝒳"  # comment\n',
    invalid: 'a = 1\nb = = 𝒳\n',
    nested: (depth) => `${'['.repeat(depth)}1${']'.repeat(depth)}`,
  },
];

describe.each(drivers)('the $language driver', ({ language, valid, invalid, nested }) => {
  it('answers each line with one line, whose members the host finds in order, and ends with its input', async () => {
    await using driver = new NativeDriver(language);
    for (const encoding of ['utf8', 'UTF8', 'Utf8']) {
      driver.write(`${JSON.stringify({ content: valid, encoding })}\n`);
      expect(await driver.line()).toMatch(/^\{"status":"ok","errors":\[\],"ast":\{.*\}\}$/);
    }
    expect(await driver.end()).toBe(0);
    expect(driver.stderr).toBe('');
    expect(await driver.line()).toBeUndefined();
  });

  it('returns the id of a request before all else, whatever the answer is, where it has one', async () => {
    await using driver = new NativeDriver(language);
    for (const [request, status] of [
      [{ content: valid, encoding: 'utf8' }, 'ok'],
      [{ content: invalid, encoding: 'utf8' }, 'error'],
      [{ content: '/w==', encoding: 'base64' }, 'error'],
      [{ content: 7, encoding: 'utf8' }, 'fatal'],
      [{ content: '', encoding: 'latin1' }, 'fatal'],
      [{ content: 'a!', encoding: 'base64' }, 'fatal'],
      [{ content: nested(1_000_000), encoding: 'utf8' }, 'error'],
    ] as const) {
      for (const id of ['', '17', 'é"\\\n\u2028', 'x'.repeat(1000)]) {
        driver.write(`${JSON.stringify({ id, ...request })}\n`);
        const line = (await driver.line()) ?? '';
        expect(line).toMatch(/^\{"id":"/);
        expect(JSON.parse(line)).toMatchObject({ id, status });
      }
      expect(await driver.ask(request)).not.toHaveProperty('id');
    }
    expect(await driver.ask({ id: 7, content: valid, encoding: 'utf8' })).toMatchObject({ status: 'fatal' });
  });

  it('answers several requests that come at once, in their order', async () => {
    await using driver = new NativeDriver(language);
    const requests = [valid, invalid, '', valid].map((content) => `${JSON.stringify({ content, encoding: 'utf8' })}\n`);
    driver.write(requests.join(''));
    for (const status of ['ok', 'error', 'ok', 'ok']) expect((await driver.answer()).status).toBe(status);
    expect(await driver.end()).toBe(0);
  });

  it('reads a request that comes byte by byte', async () => {
    await using driver = new NativeDriver(language);
    for (const byte of Buffer.from(`${JSON.stringify({ content: valid, encoding: 'utf8' })}\n`)) {
      driver.write(Uint8Array.of(byte));
    }
    expect((await driver.answer()).status).toBe('ok');
  });

  it('gives the same tree for text and for its base64, in either case of the name', async () => {
    await using driver = new NativeDriver(language);
    const text = await driver.parse(valid);
    expect(await driver.parseBytes(Buffer.from(valid))).toEqual(text);
    expect(await driver.ask({ content: Buffer.from(valid).toString('base64'), encoding: 'Base64' })).toEqual(text);
  });

  it('tells line, column and offset of a syntax error in characters', async () => {
    await using driver = new NativeDriver(language);
    const { status, errors } = await driver.parse(invalid);
    expect(status).toBe('error');
    const [{ line, column, offset } = {}] = errors;
    const place = invalid.indexOf('= 𝒳');
    expect({ line, offset }).toEqual({ line: 2, offset: place });
    expect(column).toBe(place - invalid.indexOf('\n'));
  });

  it.each([
    ['no JSON', 'garbage'],
    ['an empty line', ''],
    ['half a request', '{"content": "x = 1", "enc'],
    ['two values', '{"content": "", "encoding": "utf8"} {}'],
    ['a list', '[]'],
    ['a number', '7'],
    ['null', 'null'],
    ['no content', '{"encoding": "utf8"}'],
    ['content that is no string', '{"content": 7, "encoding": "utf8"}'],
    ['an unknown encoding', '{"content": "", "encoding": "latin1"}'],
    ['an encoding that is no string', '{"content": "", "encoding": 8}'],
    ['content that is not base64', '{"content": "a!==", "encoding": "base64"}'],
    ['base64 that is cut', '{"content": "YWJjZA", "encoding": "base64"}'],
    ['a control character', '{"content": "\u0001", "encoding": "utf8"}'],
    ['nesting without end', '['.repeat(1_000_000)],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ])('answers "fatal" to %s and goes on', async (_, line) => {
    await using driver = new NativeDriver(language);
    driver.write(line);
    driver.write('\n');
    const answer = await driver.answer();
    expect(answer).toMatchObject({ status: 'fatal', ast: null });
    expect(answer.errors[0]?.message).toMatch(/^The request.*\.$/);
    expect((await driver.parse(valid)).status).toBe('ok');
    expect(driver.stderr).toBe('');
  });

  it('answers a last line without a line end, whole or not, and exits with 0', async () => {
    for (const [line, status] of [
      [JSON.stringify({ content: valid, encoding: 'utf8' }), 'ok'],
      ['{"content": "x', 'fatal'],
    ] as const) {
      await using driver = new NativeDriver(language);
      driver.write(line);
      driver.closeInput();
      expect((await driver.answer()).status).toBe(status);
      expect(await driver.end()).toBe(0);
    }
  });

  it('parses an empty source', async () => {
    await using driver = new NativeDriver(language);
    expect(await driver.parse('')).toMatchObject({ status: 'ok', errors: [] });
    expect(await driver.parseBytes(Buffer.alloc(0))).toMatchObject({ status: 'ok', errors: [] });
  });

  it('takes null characters and halves of surrogate pairs for what the language says of them', async () => {
    await using driver = new NativeDriver(language);
    const [zero, half] = [await driver.parse(`${valid}\0`), await driver.parse(`${valid}"\ud800"\n`)];
    expect(zero).toMatchObject({ status: 'error', errors: [{ line: 2, column: 1 }] });
    if (language === 'python') {
      expect(half).toMatchObject({ status: 'error', errors: [{ line: 2, column: 2 }], ast: null });
    } else {
      expect(half.status).toBe('ok');
    }
    expect((await driver.parse(valid)).status).toBe('ok');
  });

  it('answers nesting of any depth and goes on', async () => {
    await using driver = new NativeDriver(language);
    // CPython's tokenizer has a limit of its own.
    const message = expect.stringMatching(
      language === 'python' ? /^too many nested parentheses/ : /nested too deeply/,
    ) as string;
    for (const depth of [10_000, 1_000_000]) {
      expect(await driver.parse(nested(100))).toMatchObject({ status: 'ok', errors: [] });
      expect(await driver.parse(nested(depth))).toMatchObject({ status: 'error', errors: [{ message }], ast: null });
    }
    expect(await driver.parse(nested(100))).toMatchObject({ status: 'ok', errors: [] });
    expect(driver.stderr).toBe('');
  });

  it('parses long chains, which nest as deeply as they are long', async () => {
    await using driver = new NativeDriver(language);
    expect(await driver.parse(`x = ${'a + '.repeat(1000)}b\n`)).toMatchObject({ status: 'ok' });
    expect(await driver.parse(`x = ${'a.'.repeat(1000)}b\n`)).toMatchObject({ status: 'ok' });
    expect(await driver.parse(`x = ${'a + '.repeat(100_000)}b\n`)).toMatchObject({
      status: 'error',
      errors: [{ message: expect.stringContaining('nested too deeply') as string }],
    });
    expect((await driver.parse(valid)).status).toBe('ok');
  });

  it('parses 5 MB, in many lines and in one, and gives the memory back', async () => {
    await using driver = new NativeDriver(language);
    expect((await driver.parse(valid)).status).toBe('ok');
    const before = driver.residentBytes();
    const line = language === 'python' ? 'name = call(1, "two", three.four)' : 'name = call(1, "two", three.four);';
    const many = `${line}\n`.repeat(5_000_000 / line.length);
    expect((await driver.parse(many)).status).toBe('ok');
    const string = `x = "${'é'.repeat(5_000_000)}"`;
    expect((await driver.parse(string)).status).toBe('ok');
    expect((await driver.parse(valid)).status).toBe('ok');
    // Babel keeps eight bytes for each character of the longest source; V8 keeps some of its heap.
    expect(driver.residentBytes() - before).toBeLessThan(language === 'python' ? 50e6 : 250e6);
  });

  it('reports bytes that are no text', async () => {
    await using driver = new NativeDriver(language);
    const bytes = Buffer.concat([Buffer.from(valid), Buffer.from([0x22, 0xe9, 0x22, 0x0a])]);
    const answer = await driver.parseBytes(bytes);
    expect(answer).toMatchObject({ status: 'error', ast: null });
    expect(answer.errors[0]?.message.toLowerCase()).toContain(`not utf-8 (byte ${bytes.length - 3})`);
    expect((await driver.parse(valid)).status).toBe('ok');
  });

  it('writes UTF-8 whatever the locale is', async () => {
    for (const locale of ['C', 'POSIX', 'de_DE.ISO-8859-1']) {
      await using driver = new NativeDriver(language, { environment: { LC_ALL: locale, PYTHONIOENCODING: 'latin-1' } });
      const answer = await driver.parse(valid);
      expect(JSON.stringify(answer.ast)).toContain('é✓𝒳');
    }
  });
});
