import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader, type FrameFault } from '../../../src/protocol/framing/frame-reader.ts';
import { FrameWriter } from '../../../src/protocol/framing/frame-writer.ts';
import { RawJson } from '../../../src/json/raw-json.ts';

interface Read {
  readonly messages: unknown[];
  readonly faults: FrameFault[];
}

/** Feeds bytes, cut at the given sizes, and returns what the reader made of them. */
function read(bytes: Buffer, sizes: readonly number[] = [1 << 30], messageBytes = 1 << 20): Read {
  const stream = new PassThrough({ highWaterMark: 1 << 30 });
  const messages: unknown[] = [];
  const faults: FrameFault[] = [];
  const reader = new FrameReader(stream, { messageBytes, onFault: (fault) => faults.push(fault) });
  reader.listen((message) => messages.push(message));
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = Math.max(sizes[turn % sizes.length] ?? 1, 1);
    stream.emit('data', bytes.subarray(at, at + size));
    at += size;
  }
  return { messages, faults };
}

const frame = (content: string): Buffer =>
  Buffer.from(`Content-Length: ${Buffer.byteLength(content)}\r\n\r\n${content}`);
const request = { jsonrpc: '2.0', id: 1, method: 'm', params: { text: 'é😀' } };

describe('reading frames', () => {
  it('gives the same messages however the bytes are cut', () => {
    const message = fc.record({
      jsonrpc: fc.constant('2.0'),
      id: fc.integer(),
      method: fc.string(),
      params: fc.dictionary(fc.string(), fc.jsonValue()),
    });
    fc.assert(
      fc.property(fc.array(message), fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), (sent, sizes) => {
        const bytes = Buffer.concat(sent.map((each) => frame(JSON.stringify(each))));
        expect(read(bytes, sizes)).toEqual({ messages: JSON.parse(JSON.stringify(sent)) as unknown, faults: [] });
      }),
    );
  });

  it('takes other fields of the header, in any case and order', () => {
    const content = JSON.stringify(request);
    const head = `content-type: application/vscode-jsonrpc; charset=utf-8\r\nCONTENT-LENGTH:${Buffer.byteLength(content)}\r\n\r\n`;
    expect(read(Buffer.from(head + content)).messages).toEqual([request]);
  });

  it('goes on after content that is not JSON, without quoting it', () => {
    const { messages, faults } = read(Buffer.concat([frame('{"secret'), frame(JSON.stringify(request))]));
    expect(messages).toEqual([request]);
    expect(faults).toEqual([{ kind: 'syntax', message: 'The message is not valid JSON.', id: null }]);
  });

  it.each([
    ['a batch', [request], null],
    ['a number', 3, null],
    ['null', null, null],
    ['an object without a method', { jsonrpc: '2.0', id: 'a' }, 'a'],
    ['a method that is no string', { jsonrpc: '2.0', id: 4, method: {} }, 4],
    ['an id that is null', { jsonrpc: '2.0', id: null, method: 'm' }, null],
    ['params that are a string', { jsonrpc: '2.0', id: 5, method: 'm', params: 'x' }, 5],
  ])('tells of %s', (_what, content, id) => {
    const { messages, faults } = read(Buffer.concat([frame(JSON.stringify(content)), frame(JSON.stringify(request))]));
    expect(messages).toEqual([request]);
    expect(faults).toMatchObject([{ kind: 'invalid', id }]);
  });

  it.each([
    ['no number', 'Content-Length: x\r\n\r\n'],
    ['a negative one', 'Content-Length: -1\r\n\r\n'],
    ['none', 'Content-Type: x\r\n\r\n'],
    ['two that differ', 'Content-Length: 2\r\nContent-Length: 3\r\n\r\n'],
    ['what is no header', '{"jsonrpc":"2.0"}\r\n\r\n'],
    ['a header without end', 'X: '.padEnd(9000, 'x')],
  ])('stops at a length of %s: where the next frame begins is not known', (_what, head) => {
    const { messages, faults } = read(Buffer.concat([Buffer.from(head), frame(JSON.stringify(request))]), [100]);
    expect(messages).toEqual([]);
    expect(faults).toMatchObject([{ kind: 'header' }]);
  });

  it('passes over a message that is too large, names it by its id, and goes on', () => {
    const text = 'x"y\\'.repeat(1000);
    for (const large of [
      { jsonrpc: '2.0', id: 7, method: 'parse', params: { content: text, id: 1 } },
      { params: { content: text, id: 1 }, method: 'id', jsonrpc: '2.0', id: 7 },
      { params: { id: [{ id: 3 }] }, padding: text, id: 7 },
    ]) {
      const bytes = Buffer.concat([frame(JSON.stringify(large)), frame(JSON.stringify(request))]);
      for (const sizes of [[1], [7, 64], [1 << 20]]) {
        const { messages, faults } = read(bytes, sizes, 1000);
        expect(messages).toEqual([request]);
        expect(faults).toMatchObject([{ kind: 'tooLarge', limit: 1000, id: 7 }]);
      }
    }
  });

  it('knows ids that are strings, and none where there is none', () => {
    const sized = (fields: object): Buffer => frame(JSON.stringify({ ...fields, padding: 'x'.repeat(2000) }));
    expect(read(sized({ id: 'a"\\b' }), [3], 1000).faults).toMatchObject([{ id: 'a"\\b' }]);
    expect(read(sized({ id: -1.5 }), [3], 1000).faults).toMatchObject([{ id: -1.5 }]);
    expect(read(sized({ method: 'x' }), [3], 1000).faults).toMatchObject([{ id: null }]);
    expect(read(sized({ id: null }), [3], 1000).faults).toMatchObject([{ id: null }]);
  });
});

describe('reading more frames than a turn of the event loop may have', () => {
  it('hands them on in turns, in their order, and tells of the end after the last', async () => {
    const stream = new PassThrough();
    const told: unknown[] = [];
    const ended = new Promise<void>((resolve) => {
      const reader = new FrameReader(stream, {
        messageBytes: 1 << 20,
        onFault: (fault) => told.push(fault),
        onAhead: (is) => told.push(is ? 'ahead' : 'no more ahead'),
        onEnd: () => {
          told.push('end');
          resolve();
        },
      });
      reader.listen((message) => told.push((message as unknown as { id: number }).id));
    });
    const frames = Array.from({ length: 100 }, (_, id) => frame(JSON.stringify({ jsonrpc: '2.0', id, method: 'm' })));
    stream.emit('data', Buffer.concat(frames.slice(0, 70)));
    const inFirstTurn = told.length;
    expect(told).toContain('ahead');
    expect(inFirstTurn).toBeLessThan(70);
    // More of them come meanwhile, and the stream ends.
    stream.emit('data', Buffer.concat(frames.slice(70)));
    expect(told).toHaveLength(inFirstTurn);
    stream.emit('end');
    await ended;
    expect(told.filter((each) => typeof each === 'number')).toEqual(Array.from({ length: 100 }, (_, id) => id));
    expect(told.slice(-2)).toEqual(['no more ahead', 'end']);
  });
});

describe('writing frames', () => {
  it('splices raw JSON as the bytes that it is', async () => {
    const stream = new PassThrough();
    const tree = Buffer.from('{ "kept" :  [1e2, "\\u00e9"] }');
    const uast = new RawJson([tree.subarray(0, 5), tree.subarray(5)]);
    await new FrameWriter(stream).write({ jsonrpc: '2.0', id: 1, result: { first: 1, uast, also: [uast] } } as never);
    const content = `{"jsonrpc":"2.0","id":1,"result":{"first":1,"uast":${tree.toString()},"also":[${tree.toString()}]}}`;
    expect((stream.read() as Buffer).toString()).toBe(frame(content).toString());
  });

  it('waits for a reader that is slow', async () => {
    const stream = new PassThrough({ highWaterMark: 10 });
    const written = new FrameWriter(stream).write({ jsonrpc: '2.0', method: 'x'.repeat(100_000) } as never);
    const first = await Promise.race([
      written.then(() => 'written'),
      new Promise((resolve) =>
        setImmediate(() => {
          resolve('waiting');
        }),
      ),
    ]);
    expect(first).toBe('waiting');
    stream.resume();
    await written;
  });

  it('fails on a stream that is closed', async () => {
    const stream = new PassThrough();
    stream.destroy();
    await expect(new FrameWriter(stream).write({ jsonrpc: '2.0' })).rejects.toThrow('closed');
  });
});
