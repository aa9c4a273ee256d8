// Answers that were given, to be given again for the same source, language, mode and driver. Bounded in bytes; off unless
// asked for, because a tree is 20 to 30 times its source.
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { NativeAnswer } from './native-protocol.ts';

export class AnswerCache {
  readonly #answers: LRUCache<string, NativeAnswer> | undefined;

  /** @param bytes the most that it holds; 0 for nothing */
  constructor(bytes: number) {
    this.#answers =
      bytes === 0
        ? undefined
        : new LRUCache({
            maxSize: bytes,
            sizeCalculation: ({ ast }) => ast.reduce((sum, chunk) => sum + chunk.byteLength, 1024),
          });
  }

  /** The answer to `work`, from the cache or from doing it. Failures are not kept. */
  get(digest: string, line: Buffer, work: () => Promise<NativeAnswer>): Promise<NativeAnswer> {
    return this.#answers === undefined ? work() : this.#remembered(this.#answers, digest, line, work);
  }

  async #remembered(
    answers: LRUCache<string, NativeAnswer>,
    digest: string,
    line: Buffer,
    work: () => Promise<NativeAnswer>,
  ): Promise<NativeAnswer> {
    const key = `${digest} ${hash('sha256', line, 'hex')}`;
    const known = answers.get(key);
    if (known !== undefined) return known;
    const answer = await work();
    // A copy of its own: what the answer came in is freed when it has been sent.
    const { status, errors, ast } = answer;
    if (status !== 'fatal') answers.set(key, { status, errors, ast: [Buffer.concat(ast)] });
    return answer;
  }
}
