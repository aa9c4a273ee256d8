import { describe, expect, it } from 'vitest';
import { encodeRequest } from '../../../src/drivers/process/native-protocol.ts';
import { WrittenRequest } from '../../../src/drivers/process/written-request.ts';

const limits = { responseBytes: 1 << 20, responseDepth: 100 };
const driver = { name: 'd', language: 'd', aliases: [], features: ['hint.language', 'hint.filename'] };

function written(id: string | undefined): WrittenRequest {
  const line = encodeRequest({ content: 'x'.repeat(10_000), encoding: 'utf8', filename: 'é.js' }, 'js', driver);
  return new WrittenRequest({ line, timing: { deadline: 0, timeoutMs: 0 } }, limits, id, () => undefined);
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
});
