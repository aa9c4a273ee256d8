import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { endsOf, endsOfBytes } from '../../src/drivers/source-ends.ts';

describe('the ends of a source', () => {
  it('are the same of its bytes and of its text, whatever characters are cut', () => {
    const part = fc
      .record({ unit: fc.constantFrom('a', 'é', '\u2028', '😀', '\ufeff'), count: fc.integer({ min: 0, max: 2100 }) })
      .map(({ unit, count }) => unit.repeat(count));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        const text = parts.join('');
        expect(endsOfBytes(Buffer.from(text))).toEqual(endsOf(text));
      }),
      { numRuns: 1000 },
    );
  });

  it('are 2,048 characters each', () => {
    const { head, tail } = endsOf(`${'a'.repeat(3000)}${'b'.repeat(3000)}`);
    expect(head).toBe('a'.repeat(2048));
    expect(tail).toBe('b'.repeat(2048));
  });
});
