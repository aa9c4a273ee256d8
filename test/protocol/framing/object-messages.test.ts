// Messages that a command and its own host hand to each other as objects.
import { duplexPair } from 'node:stream';
import { expect, it } from 'vitest';
import type { Message } from 'vscode-jsonrpc/node';
import { ObjectReader, ObjectWriter } from '../../../src/protocol/framing/object-messages.ts';

const message = (id: number) => ({ jsonrpc: '2.0', id, result: { id } });

it('hands on each message as the object it is, in order', async () => {
  const [near, far] = duplexPair({ objectMode: true, highWaterMark: 1 });
  const taken: Message[] = [];
  new ObjectReader(far).listen((each) => taken.push(each));
  const writer = new ObjectWriter(near);
  const sent = [message(1), message(2), message(3)];
  await Promise.all(sent.map((each) => writer.write(each)));
  await writer.flushed();
  expect(taken).toHaveLength(3);
  for (const [index, each] of sent.entries()) expect(taken[index]).toBe(each);
});

it('lets the writer wait for a reader that takes nothing', async () => {
  const [near, far] = duplexPair({ objectMode: true, highWaterMark: 1 });
  const taken: Message[] = [];
  new ObjectReader(far).listen((each) => taken.push(each));
  far.pause();
  const writer = new ObjectWriter(near);
  const written: number[] = [];
  const writing = [1, 2, 3, 4, 5].map((id) => writer.write(message(id)).then(() => written.push(id)));
  await new Promise((resolve) => setImmediate(resolve));
  expect(taken).toEqual([]);
  expect(written.length).toBeLessThan(3);
  expect(writer.pending).toBeGreaterThan(0);
  far.resume();
  await Promise.all(writing);
  expect(taken).toHaveLength(5);
  expect(writer.pending).toBe(0);
});

it('reports the end of the stream once, or closes the connection', async () => {
  for (const end of ['end', 'destroy'] as const) {
    const [near, far] = duplexPair({ objectMode: true });
    let ends = 0;
    const ended = new Promise<void>((resolve) => {
      new ObjectReader(far, () => {
        ends += 1;
        resolve();
      }).listen(() => undefined);
    });
    if (end === 'end') near.end();
    else far.destroy();
    await ended;
    far.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    expect(ends).toBe(1);
  }
  const [near, far] = duplexPair({ objectMode: true });
  const reader = new ObjectReader(far);
  const closed = new Promise<void>((resolve) => reader.onClose(resolve));
  reader.listen(() => undefined);
  near.end();
  await closed;
});

it('refuses to write where nobody can take it, and flushes nothing then', async () => {
  const [near, far] = duplexPair({ objectMode: true, highWaterMark: 1 });
  const writer = new ObjectWriter(near);
  void writer.write(message(1)).catch(() => undefined);
  void writer.write(message(2)).catch(() => undefined);
  const flushed = writer.flushed();
  far.destroy();
  near.destroy();
  await flushed;
  await expect(writer.write(message(3))).rejects.toThrow('closed');
});
