import { describe, expect, it } from 'vitest';
import { AnswerMemory } from '../../src/drivers/answer-memory.ts';
import { encodeRequest, type NativeAnswer } from '../../src/drivers/native-protocol.ts';
import { WrittenRequest } from '../../src/drivers/written-request.ts';

const limits = { responseBytes: 1 << 20, responseDepth: 100 };
const driver = { name: 'd', language: 'd', aliases: [], features: ['hint.language', 'hint.filename'] };

/** A request of a size that Node would cut out of a buffer that many have. */
function written(id: string | undefined): WrittenRequest {
  const line = encodeRequest({ content: 'x'.repeat(10_000), encoding: 'utf8', filename: 'é.js' }, 'js', driver);
  return new WrittenRequest({ line, timing: { deadline: 0, timeoutMs: 0 } }, limits, id, () => undefined);
}

function answerIn(memory: AnswerMemory): NativeAnswer {
  return { status: 'ok', errors: [], ast: [], memory };
}

describe('a written request', () => {
  it('is its line, with the id first where the driver returns it', () => {
    const asked = { content: 'x'.repeat(10_000), encoding: 'utf8', language: 'js', filename: 'é.js' };
    const plain = written(undefined);
    expect(plain.bytes).toBe(plain.line);
    expect(JSON.parse(plain.bytes.toString())).toEqual(asked);
    const { bytes, line } = written('17');
    expect(bytes.toString()).toBe(`{"id":"17",${line.toString().slice(1)}`);
  });

  it.each([undefined, '17'])('is freed with its answer, all of it (id %s)', async (id) => {
    const request = written(id);
    const memory = new AnswerMemory();
    request.resolve(answerIn(memory), true);
    await request.answer;
    expect(request.bytes.length).toBeGreaterThan(10_000);
    memory.free();
    expect([request.line.length, request.bytes.length]).toEqual([0, 0]);
  });

  it('is not freed while the driver has yet to read it', async () => {
    const request = written('17');
    const memory = new AnswerMemory();
    request.resolve(answerIn(memory), false);
    await request.answer;
    memory.free();
    expect([request.line.length, request.bytes.length].every((length) => length > 10_000)).toBe(true);
  });
});
