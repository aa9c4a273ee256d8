// Content-Length frames to a byte stream (LSP 3.17, "Base Protocol"), for both ends of a connection, written as the pieces
// that they consist of: vscode-jsonrpc's own writer joins a message into one buffer.
import type { Writable } from 'node:stream';
import { AbstractMessageWriter, type Message, type MessageWriter } from 'vscode-jsonrpc/node';
import { spliceJson, type RawJson } from '../../json/raw-json.ts';

/**
 * Writes messages as frames, in the pieces that they consist of: the stream joins small ones (writev). That the stream is
 * closed ends no connection: what was asked before may still be answered.
 */
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

  /** Messages that the stream has not handed on yet. */
  get pending(): number {
    return this.#pending;
  }

  /** Resolves when the stream has handed the frame on: whoever waits for it has back-pressure. */
  write(message: Message): Promise<void> {
    return new Promise((resolve, reject) => {
      this.send(message, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  /**
   * Writes a message.
   * @param done called when the stream has handed the frame on, or with the reason why it cannot
   */
  send(message: object, done?: (error?: Error | null) => void): void {
    if (!this.#stream.writable) {
      done?.(new Error('the stream is closed'));
      return;
    }
    const { texts, raw } = spliceJson(message);
    this.#pending += 1;
    this.#send(texts, raw, (error) => {
      this.#pending -= 1;
      done?.(error);
    });
  }

  /**
   * As few pieces as there can be: each costs, whether it is short or long. As bytes, not strings: a client that does not
   * read has its answers wait, and a string of theirs may take twice as much.
   */
  #send(texts: readonly string[], raw: readonly RawJson[], written: (error?: Error | null) => void): void {
    const stream = this.#stream;
    const last = texts.length - 1;
    let length = 0;
    for (const text of texts) length += Buffer.byteLength(text);
    for (const each of raw) length += each.byteLength;
    const head = Buffer.from(`Content-Length: ${length}\r\n\r\n${texts[0] ?? ''}`);
    if (last === 0) {
      stream.write(head, written);
      return;
    }
    stream.cork();
    stream.write(head);
    for (let index = 0; index < last; index += 1) {
      for (const chunk of raw[index]?.chunks ?? []) stream.write(chunk);
      const text = Buffer.from(texts[index + 1] ?? '');
      if (index < last - 1) stream.write(text);
      else stream.write(text, written);
    }
    stream.uncork();
  }

  /** Resolves when everything written so far has been handed on, or when the stream is gone. */
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
