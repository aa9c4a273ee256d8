// Messages as objects, between a client and a host of one process: without frames, and with each tree (RawJson) in the memory
// that it was read into. Carried by streams in object mode, which bring the back-pressure of a pipe.
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import {
  AbstractMessageReader,
  AbstractMessageWriter,
  Disposable,
  type DataCallback,
  type Message,
  type MessageReader,
  type MessageWriter,
} from 'vscode-jsonrpc/node';

/** Reads messages from a stream in object mode. */
export class ObjectReader extends AbstractMessageReader implements MessageReader {
  readonly #stream: Readable;
  readonly #onEnd: () => void;

  /** @param onEnd called at the end of the stream; by default the connection is closed */
  constructor(stream: Readable, onEnd?: () => void) {
    super();
    this.#stream = stream;
    this.#onEnd =
      onEnd ??
      (() => {
        this.fireClose();
      });
  }

  /** No message is read before it is passed on. */
  readonly ahead = false;

  listen(callback: DataCallback): Disposable {
    let ended = false;
    const end = (): void => {
      if (!ended) this.#onEnd();
      ended = true;
    };
    this.#stream.on('data', callback).once('end', end).once('close', end);
    return Disposable.create(() => {
      this.#stream.off('data', callback).off('end', end).off('close', end);
    });
  }
}

/** Writes messages to a stream in object mode. The reader has what is in them, and frees their trees. */
export class ObjectWriter extends AbstractMessageWriter implements MessageWriter {
  readonly #stream: Writable;

  constructor(stream: Writable) {
    super();
    this.#stream = stream;
  }

  /** Messages that the other side has not taken yet. */
  get pending(): number {
    return this.#stream.writableLength;
  }

  /** Resolves when the other side has taken the message. */
  async write(message: Message): Promise<void> {
    if (!this.#stream.writable) throw new Error('the stream is closed');
    await new Promise<void>((resolve, reject) => {
      this.#stream.write(message, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  /** Resolves when the other side has taken every message, or is gone. */
  async flushed(): Promise<void> {
    const stream = this.#stream;
    while (stream.writable && stream.writableLength > 0) {
      await Promise.race([once(stream, 'drain'), once(stream, 'close')]);
    }
  }

  end(): void {
    // The stream's owner ends it.
  }
}
