// References: the field's grammar, and for everything else the place of the fault.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BabelhostError } from '../../src/base/errors.ts';
import { formatReference, parseReference } from '../../src/images/index.ts';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

describe('a reference', () => {
  it.each([
    ['name', 'docker://docker.io/library/name:latest'],
    ['name:tag', 'docker://docker.io/library/name:tag'],
    ['docker', 'docker://docker.io/library/docker:latest'],
    ['docker:24', 'docker://docker.io/library/docker:24'],
    ['docker://name', 'docker://docker.io/library/name:latest'],
    ['a/b', 'docker://docker.io/a/b:latest'],
    ['index.docker.io/b', 'docker://docker.io/library/b:latest'],
    ['localhost/b', 'docker://localhost/b:latest'],
    ['localhost:5000/b', 'docker://localhost:5000/b:latest'],
    ['example.org/b/c/d:1.0', 'docker://example.org/b/c/d:1.0'],
    ['[::1]:5000/x/y', 'docker://[::1]:5000/x/y:latest'],
    ['127.0.0.1:80/n/x', 'docker://127.0.0.1:80/n/x:latest'],
    ['Example.org/b', 'docker://Example.org/b:latest'],
    [`name@${digest}`, `docker://docker.io/library/name@${digest}`],
    [`example.org:443/a__b/c-d.e:T_1.-@${digest}`, `docker://example.org:443/a__b/c-d.e:T_1.-@${digest}`],
    ['oci:/a/b', 'oci:/a/b'],
    ['oci:a/b:tag', 'oci:a/b:tag'],
    ['oci:dir:docker.io/library/x:1', 'oci:dir:docker.io/library/x:1'],
    ['oci-archive:/f.tar:v1', 'oci-archive:/f.tar:v1'],
    ['docker-archive:f.tar', 'docker-archive:f.tar'],
    ['docker-archive:f.tar:a/b', 'docker-archive:f.tar:a/b:latest'],
    ['docker-archive:f.tar:@3', 'docker-archive:f.tar:@3'],
    ['docker-daemon:x:1', 'docker-daemon:x:1'],
    [`docker-daemon:${digest}`, `docker-daemon:${digest}`],
  ])('%s is %s', (text, written) => {
    const reference = parseReference(text);
    expect(formatReference(reference)).toBe(written);
    expect(parseReference(written)).toEqual(reference);
  });

  it.each([
    ['', 0],
    ['Name', 0],
    ['name:', 4],
    ['name:-x', 5],
    [`name:${'x'.repeat(129)}`, 133],
    ['name@sha256:123', 5],
    [`name@${digest.toUpperCase()}`, 5],
    [`name@sha512:${'0'.repeat(128)}`, 5],
    ['a//b', 2],
    ['a/b_', 3],
    ['a/-b', 2],
    ['a/b___c', 3],
    ['/a', 0],
    ['example.org/', 12],
    ['example.org:x/b', 12],
    ['example.org:99999/b', 12],
    ['-example.org/b', 0],
    ['exa$mple.org/b', 0],
    [`example.org/${'a'.repeat(256)}`, 267],
    ['f'.repeat(64), 0],
    ['http://example.org/b', 0],
    ['containers-storage://x', 0],
    ['oci:', 4],
    ['oci:dir:', 7],
    ['oci:dir:a b', 9],
    ['docker-daemon:', 14],
    ['docker-archive::x', 15],
    ['a\nb', 1],
    ['docker://', 9],
  ])('%j is refused at %i', (text, position) => {
    expect.assertions(2);
    try {
      parseReference(text);
    } catch (error) {
      expect(error).toBeInstanceOf(BabelhostError);
      expect(error).toMatchObject({ kind: 'imageInvalid', data: { reference: text, position } });
    }
  });

  it('with a sha512 digest is told that this is not supported', () => {
    expect(() => parseReference(`name@sha512:${'0'.repeat(128)}`)).toThrow(/sha512 is not supported.*sha256/);
  });

  it('is read or refused, whatever the text, and reads back the same', () => {
    const part = fc.constantFrom(
      'docker',
      'oci',
      '://',
      ':',
      '/',
      '@',
      'a',
      'B',
      '.',
      '_',
      '-',
      '0',
      '[',
      ']',
      digest,
      ' ',
      'é',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(part, { maxLength: 12 }).map((parts) => parts.join('')),
        ),
        (text) => {
          try {
            const reference = parseReference(text);
            expect(parseReference(formatReference(reference))).toEqual(reference);
          } catch (error) {
            expect(error).toMatchObject({ kind: 'imageInvalid' });
            const { position } = (error as BabelhostError).data;
            expect(position).toSatisfy((value: number) => value >= 0 && value <= text.length);
          }
        },
      ),
      { numRuns: 5000 },
    );
  });
});
