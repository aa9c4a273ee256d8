// Messages to a byte stream, for both ends of a connection, in either framing, written as the pieces that they consist of:
// vscode-jsonrpc's own writer joins a message into one buffer.
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { AbstractMessageWriter, type Message, type MessageWriter } from 'vscode-jsonrpc/node';
import { encodeJson } from '../../json/raw-json.ts';
import type { FramingName } from './framing.ts';

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const space = 0x20;

/** Writes messages as frames. A closed stream ends no connection: earlier requests may still be answered. */
export class FrameWriter extends AbstractMessageWriter implements MessageWriter {
  readonly #stream: Writable;
  readonly #framing: () => FramingName;
  #failures = 0;
  #pending = 0;

  /** @param framing that of the messages which are written next */
  constructor(stream: Writable, framing: () => FramingName = () => 'headers') {
    super();
    this.#stream = stream;
    this.#framing = framing;
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
    const framed = this.#framing() === 'lines' ? asLine(pieces) : asFrame(pieces);
    this.#pending += 1;
    try {
      await new Promise<void>((resolve, reject) => {
        const onWritten = (error?: Error | null): void => {
          if (error) reject(error);
          else resolve();
        };
        stream.cork();
        framed.forEach((piece, index) => stream.write(piece, index === framed.length - 1 ? onWritten : undefined));
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

function asFrame(pieces: readonly Uint8Array[]): Uint8Array[] {
  const length = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  return [Buffer.from(`Content-Length: ${length}\r\n\r\n`), ...pieces];
}

function asLine(pieces: readonly Uint8Array[]): Uint8Array[] {
  return [...pieces.map(withoutLineEnds), Buffer.of(lineFeed)];
}

/** Raw JSON may have line ends between its tokens, where a space is as good; within strings they are escaped. */
function withoutLineEnds(piece: Uint8Array): Uint8Array {
  if (!piece.includes(lineFeed) && !piece.includes(carriageReturn)) return piece;
  return piece.map((byte) => (byte === lineFeed || byte === carriageReturn ? space : byte));
}
