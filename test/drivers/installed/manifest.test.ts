import { describe, expect, it } from 'vitest';
import { parseManifest } from '../../../src/drivers/installed/manifest.ts';

const parse = (text: string | Buffer): ReturnType<typeof parseManifest> => parseManifest(Buffer.from(text as string));

describe('the manifest of a driver', () => {
  it('is read in the form of the Babelfish era, with what it has besides', () => {
    const text = `
name = "Python"
language = "Python"
aliases = ["py", "python", "py"]
status = "beta"
features = ["ast", "uast", "roles"]
version = "v2.10.0"

[documentation]
description = "Python driver."
caveats = "None."

[runtime]
os = "alpine"
native_version = ["3.6.2"]

[[maintainers]]
name = "Somebody"
`;
    expect(parse(text)).toEqual({
      name: 'Python',
      language: 'python',
      aliases: ['py'],
      status: 'beta',
      version: 'v2.10.0',
      features: ['ast', 'uast', 'roles'],
      documentation: 'Python driver.',
    });
  });

  it('needs nothing but a language', () => {
    expect(parse('language = "x"')).toEqual({ name: 'x', language: 'x', aliases: [], features: [] });
  });

  it.each([
    ['no TOML', 'language = ', /manifest/],
    ['no UTF-8', Buffer.from([0x6c, 0xff, 0xfe]), /manifest/],
    ['no language', 'name = "x"', /language/],
    ['a language that is no word', 'language = "a b"', /language: must be a word/],
    ['a language that is a path', 'language = "../../etc"', /language: must be a word/],
    ['a language of another type', 'language = 3', /language/],
    ['aliases that are no list', 'language = "x"\naliases = "y"', /aliases/],
    ['a list without end', `language = "x"\naliases = [${'"y",'.repeat(1000)}]`, /aliases/],
  ])('is refused with %s', (_name, text, message) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ kind: 'driverMalformed', message: expect.stringMatching(message) as string }),
    );
  });
});
