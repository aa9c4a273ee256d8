// Content-Length frames to a byte stream (LSP 3.17, "Base Protocol"), for both ends of a connection, written as the pieces
// that they consist of: vscode-jsonrpc's own writer joins a message into one buffer.
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { AbstractMessageWriter, type Message, type MessageWriter } from 'vscode-jsonrpc/node';
import { encodeJson } from '../../json/raw-json.ts';

/** Writes messages as frames. A closed stream ends no connection: earlier requests may still be answered. */
export class FrameWriter extends AbstractMessageWriter implements MessageWriter {
  readonly #stream: Writable;
  #failures = 0;
  #pending = 0;

  constructor(stream: Writable) {
    super();
    this.#stream = stream;
    this.#stream.on('error', (error: Error) => {
      this.fireError(error, undefined, ++this.#failures);
    });
  }

  /** Messages that the stream has not written yet. */
  get pending(): number {
    return this.#pending;
  }

  /** Resolves when the stream has written the frame: awaiting it gives back-pressure. */
  async write(message: Message): Promise<void> {
    const stream = this.#stream;
    if (!stream.writable) throw new Error('the stream is closed');
    // Bytes, not strings: answers wait for a client that does not read, and strings may take twice as much memory.
    const { pieces, raw } = encodeJson(message);
    const length = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
    this.#pending += 1;
    try {
      await new Promise<void>((resolve, reject) => {
        const onWritten = (error?: Error | null): void => {
          if (error) reject(error);
          else resolve();
        };
        stream.cork();
        stream.write(Buffer.from(`Content-Length: ${length}\r\n\r\n`));
        pieces.forEach((piece, index) => stream.write(piece, index === pieces.length - 1 ? onWritten : undefined));
        stream.uncork();
      });
      // A socket's bytes are in the kernel now; a stream in memory has handed on the very same ones.
      if (stream instanceof Socket) for (const each of raw) each.free();
    } finally {
      this.#pending -= 1;
    }
  }

  /** Resolves when everything so far has been written, or when the stream is gone. */
  async flushed(): Promise<void> {
    if (!this.#stream.writable || this.#stream.writableLength === 0) return;
    await new Promise<void>((resolve) => {
      this.#stream.write('', () => {
        resolve();
      });
    });
  }

  end(): void {
    // The stream's owner ends it; a connection that is disposed of must not close another's stdout.
  }
}
