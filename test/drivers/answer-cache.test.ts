import { describe, expect, it } from 'vitest';
import { AnswerCache } from '../../src/drivers/answer-cache.ts';
import type { NativeAnswer } from '../../src/drivers/native-protocol.ts';

const answer = (text: string, status: NativeAnswer['status'] = 'ok'): NativeAnswer => ({
  status,
  errors: [],
  ast: [Buffer.from(text.slice(0, 1)), Buffer.from(text.slice(1))],
});
const textOf = ({ ast }: NativeAnswer): string => Buffer.concat(ast).toString();

/** Asks for a line, and counts how often the work was done. */
function asking(cache: AnswerCache) {
  let works = 0;
  return {
    works: () => works,
    ask: async (digest: string, line: string, text = line, status: NativeAnswer['status'] = 'ok') =>
      textOf(
        await cache.get(digest, Buffer.from(line), () => {
          works += 1;
          return Promise.resolve(answer(text, status));
        }),
      ),
  };
}

describe('the cache of answers', () => {
  it('is off with no bytes', async () => {
    const { ask, works } = asking(new AnswerCache(0));
    await ask('a', 'x');
    await ask('a', 'x');
    expect(works()).toBe(2);
  });

  it('gives an answer again for the same request and driver only', async () => {
    const { ask, works } = asking(new AnswerCache(100_000));
    expect(await ask('a', 'x', 'tree')).toBe('tree');
    expect(await ask('a', 'x', 'unused')).toBe('tree');
    expect(await ask('b', 'x', 'other driver')).toBe('other driver');
    expect(await ask('a', 'y', 'other source')).toBe('other source');
    expect(works()).toBe(3);
  });

  it('keeps no failure, and no more than its bytes', async () => {
    const cache = new AnswerCache(10_000);
    const { ask, works } = asking(cache);
    await ask('a', 'fatal', 'null', 'fatal');
    await ask('a', 'fatal', 'null', 'fatal');
    expect(works()).toBe(2);
    await expect(cache.get('a', Buffer.from('x'), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    for (let each = 0; each < 10; each += 1) await ask('a', `${each}`, 'z'.repeat(2000));
    await ask('a', '9');
    expect(works()).toBe(12);
    await ask('a', '0');
    expect(works()).toBe(13);
    // Larger than all of it together: given, and not kept.
    expect(await ask('a', 'large', 'z'.repeat(20_000))).toHaveLength(20_000);
  });
});
