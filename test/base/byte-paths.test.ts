// Paths as bytes: their URIs and their text.
import { pathToFileURL } from 'node:url';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { joinPath, pathOfFileUri, textOfPath, uriOfPath } from '../../src/base/byte-paths.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

describe('the URI of a path', () => {
  it('has its bytes, percent-encoded', () => {
    expect(uriOfPath(bytes('/a/caf\xe9.py'))).toBe('file:///a/caf%E9.py');
    expect(uriOfPath(bytes('/\xff\n"\'%41 b'))).toBe("file:///%FF%0A%22'%2541%20b");
  });

  it('is that of pathToFileURL where the path is text', () => {
    // Of control characters at the end, pathToFileURL makes nothing.
    const name = fc
      .string({ unit: 'binary' })
      .filter((text) => !/[/\0]/.test(text))
      .map((text) => `${text}x`);
    fc.assert(
      fc.property(fc.array(name, { minLength: 1 }), (names) => {
        const path = `/${names.join('/')}`;
        expect(uriOfPath(Buffer.from(path))).toBe(pathToFileURL(path).href);
      }),
    );
  });

  it('leads back to the path, whatever its bytes are', () => {
    const name = fc.uint8Array({ min: 1, minLength: 1 }).filter((each) => !each.includes(0x2f));
    fc.assert(
      fc.property(fc.array(name, { minLength: 1 }), (names) => {
        // A URI takes names of dots alone for ways up and down.
        const path = names.reduce((folder: Buffer, each) => joinPath(folder, Buffer.from([0x61, ...each])), bytes('/'));
        expect(pathOfFileUri(uriOfPath(path))).toEqual(path);
      }),
    );
  });

  it('may be written in other ways', () => {
    expect(pathOfFileUri('file:///caf%e9')).toEqual(bytes('/caf\xe9'));
    expect(pathOfFileUri('file:///café')).toEqual(Buffer.from('/café'));
    expect(pathOfFileUri('file://localhost/a/../b')).toEqual(bytes('/b'));
  });

  it.each([
    ['file:///a%00b', 'zero byte (%00)'],
    ['file:///a%2Fb', 'slash (%2F)'],
    ['file:///a%2fb', 'slash (%2F)'],
    ['file:///a%E', 'two hexadecimal digits'],
    ['file:///%', 'two hexadecimal digits'],
    ['file:///%zz', 'two hexadecimal digits'],
    ['file://elsewhere/a', 'localhost'],
    ['http://localhost/a', 'scheme file'],
    ['/a', 'Invalid URL'],
  ])('is refused where it can be no file: %s', (uri, reason) => {
    expect(() => pathOfFileUri(uri)).toThrow(TypeError);
    expect(() => pathOfFileUri(uri)).toThrow(reason);
  });
});

describe('the text of a path', () => {
  it('has \\x.. for each byte that is no UTF-8, and all else as it is', () => {
    expect(textOfPath(Buffer.from('/ü/😀\n'))).toBe('/ü/😀\n');
    expect(textOfPath(bytes('/caf\xe9.py/\xff\xc3\xbc\xc3'))).toBe('/caf\\xe9.py/\\xff\u00fc\\xc3');
    // Too long an encoding, half a character of UTF-16, and more than Unicode has.
    expect(textOfPath(bytes('\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80'))).toBe(
      '\\xc0\\xaf\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80',
    );
  });

  it('is what Node reads where it is UTF-8', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(textOfPath(Buffer.from(text))).toBe(Buffer.from(text).toString());
      }),
    );
  });
});
