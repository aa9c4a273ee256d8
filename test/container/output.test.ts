// What containers write, over real sockets: all of them are read into the same memory.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectOutput } from '../../src/container/output.ts';

const megabyte = 1024 * 1024;

describe('what a container writes', () => {
  let folder: string;
  let server: Server;
  let address: string;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'babelhost-output-'));
    address = path.join(folder, 'socket');
    server = createServer().listen(address);
    await once(server, 'listening');
  });

  afterAll(async () => {
    server.close();
    await rm(folder, { recursive: true, force: true });
  });

  /** The reader's end, and the writer's. */
  async function connection(): Promise<{ output: Socket; writer: Socket }> {
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const output = connectOutput(address);
    const [[writer]] = await Promise.all([accepted, once(output, 'connect')]);
    // Who destroys the reader breaks the writer's connection.
    writer.on('error', () => undefined);
    return { output, writer };
  }

  it('is whole for each of several that write at the same time, and ends with the writer', async () => {
    const sent = Array.from({ length: 4 }, (_, index) => randomBytes(3 * megabyte + index * 1000));
    const connections = [await connection(), await connection(), await connection(), await connection()];
    const received = await Promise.all(
      connections.map(async ({ output, writer }, index) => {
        writer.end(sent[index] as Buffer); // there are as many
        // Every piece is kept: a later read must not write over what an earlier one gave.
        const pieces: Buffer[] = [];
        for await (const piece of output) pieces.push(piece as Buffer);
        return Buffer.concat(pieces);
      }),
    );
    expect(received.map((bytes, index) => bytes.equals(sent[index] as Buffer))).toEqual([true, true, true, true]);
  });

  it('waits where nobody reads, and loses nothing', async () => {
    const { output, writer } = await connection();
    const bytes = randomBytes(8 * megabyte);
    const written = new Promise<void>((resolve) => writer.end(bytes, resolve));
    // The stream takes what it may hold, one read more at most, and the kernel the next.
    await once(output, 'readable');
    expect(output.readableLength).toBeLessThanOrEqual(megabyte);
    const pieces: Buffer[] = [];
    for await (const piece of output) {
      pieces.push(piece as Buffer);
      expect(output.readableLength).toBeLessThanOrEqual(megabyte);
    }
    await written;
    expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
  });

  it('is not given any more to who has destroyed it, not even what was read already', async () => {
    const { output, writer } = await connection();
    let pieces = 0;
    output.on('data', () => {
      pieces += 1;
      output.destroy();
    });
    writer.write(Buffer.alloc(4 * megabyte));
    await Promise.all([once(output, 'close'), new Promise((resolve) => writer.once('close', resolve))]);
    expect(pieces).toBe(1);
  });

  it('holds no more memory than was written, however short the pieces', async () => {
    const { output, writer } = await connection();
    const pieces: Buffer[] = [];
    output.on('data', (piece: Buffer) => pieces.push(piece));
    const writing = (async () => {
      for (let index = 0; index < 500; index += 1) {
        await new Promise((resolve) => writer.write('x', resolve));
      }
      writer.end();
    })();
    await Promise.all([once(output, 'end'), writing]);
    expect(pieces.reduce((sum, { buffer }) => sum + buffer.byteLength, 0)).toBe(500);
  });
});
