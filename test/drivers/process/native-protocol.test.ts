import { expect, it } from 'vitest';
import { encodeRequest, withId } from '../../../src/drivers/process/native-protocol.ts';

const driver = { name: 'd', language: 'd', aliases: [], features: ['hint.language', 'hint.filename'] };

it('a request is a line, with the id first where the driver returns it', () => {
  const asked = { content: 'x'.repeat(10_000), encoding: 'utf8', language: 'js', filename: 'é.js' } as const;
  const line = encodeRequest(asked, 'js', driver);
  expect(JSON.parse(line.toString())).toEqual(asked);
  expect(withId(line, '17').toString()).toBe(`{"id":"17",${line.toString().slice(1)}`);
});
