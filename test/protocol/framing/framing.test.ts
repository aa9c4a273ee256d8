import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FrameReader } from '../../../src/protocol/framing/frame-reader.ts';
import type { FrameFault, FramingChoice } from '../../../src/protocol/framing/framing.ts';
import { FrameWriter } from '../../../src/protocol/framing/frame-writer.ts';
import { RawJson } from '../../../src/json/raw-json.ts';

interface Read {
  readonly messages: unknown[];
  readonly faults: FrameFault[];
}

interface How {
  readonly messageBytes?: number;
  readonly framing?: FramingChoice;
  /** Whether the stream ends behind the bytes. */
  readonly atEnd?: boolean;
}

/** Feeds bytes, cut at the given sizes, and returns what the reader made of them. */
function read(bytes: Buffer, sizes: readonly number[] = [1 << 30], how: How = {}): Read {
  const { messageBytes = 1 << 20, framing = 'headers', atEnd = false } = how;
  const stream = new PassThrough({ highWaterMark: 1 << 30 });
  const messages: unknown[] = [];
  const faults: FrameFault[] = [];
  const reader = new FrameReader(stream, { messageBytes, framing, onFault: (fault) => faults.push(fault) });
  reader.listen((message) => messages.push(message));
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = Math.max(sizes[turn % sizes.length] ?? 1, 1);
    stream.emit('data', bytes.subarray(at, at + size));
    at += size;
  }
  if (atEnd) stream.emit('end');
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

  it('takes lines of a header that end in LF alone, mixed too, and empty lines before it', () => {
    const content = JSON.stringify(request);
    const length = `Content-Length: ${Buffer.byteLength(content)}`;
    const heads = [
      `${length}\n\n`,
      `${length}\r\n\n`,
      `${length}\n\r\n`,
      `X: y\n${length}\r\n\r\n`,
      `\n\r\n\n${length}\n\n`,
    ];
    const bytes = Buffer.from(heads.map((head) => head + content).join(''));
    for (const sizes of [[1], [5, 30], [1 << 20]]) {
      expect(read(bytes, sizes)).toEqual({ messages: heads.map(() => request), faults: [] });
    }
  });

  it.each([
    ['in a header', 'Content-Length: 3'],
    ['before the end of a header', 'Content-Length: 3\r\n'],
    ['in a message', 'Content-Length: 3\r\n\r\n{}'],
    ['in a message that is too large', `Content-Length: 3000000\r\n\r\n{}`],
    ['in what is no frame', 'hello'],
    ['in a byte order mark', '\u00ef\u00bb'],
  ])('tells of a stream that ends %s', (_what, rest) => {
    const bytes = Buffer.concat([frame(JSON.stringify(request)), Buffer.from(rest, 'latin1')]);
    expect(read(bytes, [7], { atEnd: true })).toMatchObject({ messages: [request], faults: [{ kind: 'truncated' }] });
  });

  it('finds nothing wrong with a stream that ends behind a message, or was empty', () => {
    for (const text of ['', '\n', '\r\n\n', '\u00ef\u00bb\u00bf', `${frame('{"method":"m"}').toString()}\n`]) {
      expect(read(Buffer.from(text, 'latin1'), [1], { atEnd: true }).faults).toEqual([]);
    }
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
    ['a line of HTTP', 'GET / HTTP/1.1\n\n'],
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
        const { messages, faults } = read(bytes, sizes, { messageBytes: 1000 });
        expect(messages).toEqual([request]);
        expect(faults).toMatchObject([{ kind: 'tooLarge', limit: 1000, id: 7 }]);
      }
    }
  });

  it('knows ids that are strings, and none where there is none', () => {
    const sized = (fields: object): Buffer => frame(JSON.stringify({ ...fields, padding: 'x'.repeat(2000) }));
    expect(read(sized({ id: 'a"\\b' }), [3], { messageBytes: 1000 }).faults).toMatchObject([{ id: 'a"\\b' }]);
    expect(read(sized({ id: -1.5 }), [3], { messageBytes: 1000 }).faults).toMatchObject([{ id: -1.5 }]);
    expect(read(sized({ method: 'x' }), [3], { messageBytes: 1000 }).faults).toMatchObject([{ id: null }]);
    expect(read(sized({ id: null }), [3], { messageBytes: 1000 }).faults).toMatchObject([{ id: null }]);
  });
});

describe('reading lines', () => {
  const line = (message: unknown): string => JSON.stringify(message);
  const lines = { framing: 'lines', atEnd: true } as const;

  it('gives the same messages however the bytes are cut and the lines are ended', () => {
    const message = fc.record({
      id: fc.integer(),
      method: fc.string(),
      params: fc.dictionary(fc.string(), fc.jsonValue()),
    });
    const end = fc.constantFrom('\n', '\r\n', '\n\n', '\r\n \t\r\n');
    const cuts = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1 });
    fc.assert(
      fc.property(fc.array(fc.tuple(message, end)), cuts, fc.boolean(), (sent, sizes, ended) => {
        const text = sent.map(([each, ending]) => line(each) + ending).join('');
        const bytes = Buffer.from(ended ? text : text.trimEnd());
        const messages = JSON.parse(JSON.stringify(sent.map(([each]) => each))) as unknown[];
        expect(read(bytes, sizes, lines)).toEqual({ messages, faults: [] });
        expect(read(bytes, sizes, { ...lines, framing: 'auto' })).toEqual({ messages, faults: [] });
      }),
    );
  });

  it.each([
    ['a brace', '', 'lines'],
    ['a brace behind blank lines', '\n \r\n\t', 'lines'],
    ['a brace behind a byte order mark', '\ufeff', 'lines'],
    ['a header', 'Content-Length: 64\n\n', 'headers'],
    ['a header behind a byte order mark', '\ufeffContent-Length: 64\r\n\r\n', 'headers'],
  ])('is chosen by the first byte: %s', (_what, before, framing) => {
    const stream = new PassThrough();
    const messages: unknown[] = [];
    const reader = new FrameReader(stream, {
      messageBytes: 1000,
      framing: 'auto',
      onFault: () => messages.push('fault'),
    });
    reader.listen((message) => messages.push(message));
    expect(reader.framing).toBe('headers');
    const bytes = Buffer.from(`${before}${line(request)}\n`);
    for (const byte of bytes) stream.emit('data', Buffer.of(byte));
    expect(messages).toEqual([request]);
    expect(reader.framing).toBe(framing);
  });

  it('goes on after lines that are no message, without quoting them', () => {
    const text = ['{"secret', '[{}]', '"x"', '{"id":4}', 'Content-Length: 2', '\0\0', line(request)].join('\n');
    const { messages, faults } = read(Buffer.from(text), [3], lines);
    expect(messages).toEqual([request]);
    expect(faults.map(({ kind }) => kind)).toEqual(['syntax', 'invalid', 'invalid', 'invalid', 'syntax', 'syntax']);
    expect(JSON.stringify(faults)).not.toContain('secret');
  });

  it('passes over a line that is too large, names it by its id, and goes on', () => {
    const large = line({ jsonrpc: '2.0', params: { content: 'x"y\\'.repeat(1000), id: 1 }, id: 7 });
    const fault = { kind: 'tooLarge', length: large.length, limit: 1000, id: 7 };
    for (const sizes of [[1], [7, 640], [1 << 20]]) {
      const between = Buffer.from(`${large}\n${line(request)}\n`);
      expect(read(between, sizes, { ...lines, messageBytes: 1000 })).toEqual({ messages: [request], faults: [fault] });
      const last = Buffer.from(`${line(request)}\n${large}`);
      expect(read(last, sizes, { ...lines, messageBytes: 1000 })).toEqual({ messages: [request], faults: [fault] });
    }
  });

  it('takes one of exactly the limit', () => {
    const text = line(request);
    const messageBytes = Buffer.byteLength(text);
    expect(read(Buffer.from(`${text}\n`), [9], { ...lines, messageBytes })).toEqual({
      messages: [request],
      faults: [],
    });
    expect(read(Buffer.from(`${text} \n`), [9], { ...lines, messageBytes }).faults).toMatchObject([
      { kind: 'tooLarge' },
    ]);
  });

  it('takes no more time for a line that comes byte by byte', () => {
    const message = { ...request, params: { text: 'x'.repeat(500_000) } };
    const startedAt = performance.now();
    expect(read(Buffer.from(`${line(message)}\n`), [1], lines).messages).toEqual([message]);
    expect(performance.now() - startedAt).toBeLessThan(5000);
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

  it('writes a line for each message, whatever line ends raw JSON has between its tokens', async () => {
    const stream = new PassThrough();
    const uast = new RawJson([Buffer.from('{\r\n"a":\n'), Buffer.from('["\\n",\r1]}')]);
    const writer = new FrameWriter(stream, () => 'lines');
    await writer.write({ jsonrpc: '2.0', id: 1, result: { uast } } as never);
    await writer.write({ jsonrpc: '2.0', method: 'm' } as never);
    const text = (stream.read() as Buffer).toString();
    expect(text).toMatch(/^[^\r\n]+\n[^\r\n]+\n$/);
    expect(
      text
        .split('\n')
        .slice(0, 2)
        .map((each) => JSON.parse(each) as unknown),
    ).toEqual([
      { jsonrpc: '2.0', id: 1, result: { uast: { a: ['\n', 1] } } },
      { jsonrpc: '2.0', method: 'm' },
    ]);
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
