// Content-Length frames from a byte stream (LSP 3.17, "Base Protocol"), bounded, for both ends of a connection:
// vscode-jsonrpc's own reader buffers whatever length a header claims.
import type { Readable } from 'node:stream';
import type { Message } from 'vscode-jsonrpc/node';
import { AbstractMessageReader, Disposable, type DataCallback, type MessageReader } from 'vscode-jsonrpc/node';
import { invalidity, type FrameFault } from './frame-fault.ts';
import { contentLength, headerEnd, headerLimit, plainHeader, plainHeaderBytes } from './frame-header.ts';
import { TopLevelIdFinder } from '../message-id.ts';

/** Messages that are handed on in one turn of the event loop: other clients have theirs, too. */
const messagesInATurn = 32;

type State =
  | { readonly in: 'header' }
  | { readonly in: 'nothing' }
  | { readonly in: 'content'; readonly length: number }
  | { readonly in: 'skipped'; readonly length: number; left: number; readonly finder: TopLevelIdFinder };

export interface FrameReaderOptions {
  /** The largest message that is taken, in bytes. */
  readonly messageBytes: number;
  /** Told of frames that are not taken. After a `header` fault nothing is read: where the next frame begins is not known. */
  readonly onFault: (fault: FrameFault) => void;
  /**
   * Told that the stream has ended, in place of closing the connection: a script that sends its requests and closes its
   * end still wants the answers.
   */
  readonly onEnd?: () => void;
  /**
   * Told when more messages were read than are handed on in one turn of the event loop, and when the last of them was:
   * the stream should not be read meanwhile. Without it, all are handed on at once.
   */
  readonly onAhead?: (is: boolean) => void;
  /** Decodes a message, in place of JSON.parse on all of it; throws where it is not valid JSON. */
  readonly decode?: (content: Buffer) => unknown;
}

/** Reads messages from a stream of frames. */
export class FrameReader extends AbstractMessageReader implements MessageReader {
  readonly #stream: Readable;
  readonly #options: FrameReaderOptions;
  #chunks: Buffer[] = [];
  /** Where in the first chunk the next byte is. */
  #at = 0;
  #buffered = 0;
  #state: State = { in: 'header' };
  #ahead = false;

  constructor(stream: Readable, options: FrameReaderOptions) {
    super();
    this.#stream = stream;
    this.#options = options;
  }

  /** Whether messages that were read are still to be handed on, in later turns. */
  get ahead(): boolean {
    return this.#ahead;
  }

  listen(callback: DataCallback): Disposable {
    const onData = (chunk: Buffer): void => {
      this.#chunks.push(chunk);
      this.#buffered += chunk.length;
      if (!this.#ahead) this.#advance(callback, onceDone);
    };
    let closed = false;
    let done = (): void => undefined;
    const onceDone = (): void => {
      done();
    };
    const onClose = (): void => {
      if (closed) return;
      closed = true;
      done = () => {
        if (this.#options.onEnd === undefined) this.fireClose();
        else this.#options.onEnd();
      };
      if (!this.#ahead) done();
    };
    const onError = (error: Error): void => {
      this.fireError(error);
    };
    this.#stream.on('data', onData).once('end', onClose).once('close', onClose).on('error', onError);
    return Disposable.create(() => {
      this.#stream.off('data', onData).off('end', onClose).off('close', onClose);
    });
  }

  /** Takes as many whole frames as are there, or as a turn may have. */
  #advance(callback: DataCallback, onceDone: () => void): void {
    let handedOn = 0;
    for (;;) {
      const state = this.#state;
      if (state.in === 'nothing') {
        this.#take(this.#buffered);
        return;
      }
      if (state.in === 'header') {
        if (this.#buffered === 0) return;
        if (handedOn === messagesInATurn && this.#options.onAhead !== undefined) {
          this.#goOnLater(callback, onceDone);
          return;
        }
        const length = this.#takeHeader();
        if (length === undefined) return;
        this.#state =
          length <= this.#options.messageBytes
            ? { in: 'content', length }
            : { in: 'skipped', length, left: length, finder: new TopLevelIdFinder() };
      } else if (state.in === 'content') {
        if (this.#buffered < state.length) return;
        const content = this.#take(state.length);
        this.#state = { in: 'header' };
        const message = this.#decode(content);
        handedOn += 1;
        if (message !== undefined) callback(message);
      } else {
        if (this.#buffered === 0) return;
        const part = this.#take(Math.min(this.#buffered, state.left));
        state.finder.feed(part);
        state.left -= part.length;
        if (state.left > 0) return;
        const { length, finder } = state;
        this.#state = { in: 'header' };
        this.#options.onFault({ kind: 'tooLarge', length, limit: this.#options.messageBytes, id: finder.id });
      }
    }
  }

  #goOnLater(callback: DataCallback, onceDone: () => void): void {
    if (!this.#ahead) this.#options.onAhead?.(true);
    this.#ahead = true;
    setImmediate(() => {
      // Whoever is told that nothing is left must not find it otherwise.
      this.#ahead = false;
      this.#advance(callback, onceDone);
      if (this.#hasMore()) return;
      this.#options.onAhead?.(false);
      onceDone();
    });
  }

  /** As a call, because the compiler takes a field to be what it was set to before another call. */
  #hasMore(): boolean {
    return this.#ahead;
  }

  /** Takes the header block and returns the length that it tells; undefined while it is not whole, or where it is none. */
  #takeHeader(): number | undefined {
    const first = this.#chunks[0];
    const plain =
      first === undefined ? null : plainHeader.exec(first.toString('latin1', this.#at, this.#at + plainHeaderBytes));
    if (plain !== null) {
      this.#skip(plain[0].length);
      return Number(plain[1]);
    }
    const header = this.#takeAnyHeader();
    if (header === undefined) return undefined;
    const length = contentLength(header);
    if (length === undefined) {
      this.#stop(`A header without a valid Content-Length: ${JSON.stringify(header.slice(0, 200))}.`);
    }
    return length;
  }

  /** The header block without its empty line, or undefined while it is not whole. */
  #takeAnyHeader(): string | undefined {
    // Headers are short: they stand in one chunk but for a rare cut, so joining costs nothing worth saving.
    const head = Buffer.concat([(this.#chunks[0] ?? Buffer.alloc(0)).subarray(this.#at), ...this.#chunks.slice(1)]);
    this.#chunks = [head];
    this.#at = 0;
    const end = head.subarray(0, headerLimit).indexOf(headerEnd);
    if (end < 0) {
      if (head.length >= headerLimit) this.#stop(`A header block of more than ${headerLimit} bytes.`);
      return undefined;
    }
    const header = head.toString('latin1', 0, end);
    this.#skip(end + headerEnd.length);
    return header;
  }

  /** Takes `length` bytes off the front; copies only where they lie in several chunks. */
  #take(length: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.length - this.#at >= length) {
      const taken = first.subarray(this.#at, this.#at + length);
      this.#skip(length);
      return taken;
    }
    const taken = Buffer.allocUnsafe(length);
    for (let filled = 0; filled < length;) {
      const chunk = this.#chunks[0];
      if (chunk === undefined) throw new RangeError('more bytes taken than are buffered');
      const count = chunk.copy(taken, filled, this.#at);
      filled += count;
      this.#skip(count);
    }
    return taken;
  }

  /** Leaves out bytes of the first chunk. */
  #skip(length: number): void {
    this.#at += length;
    this.#buffered -= length;
    if (this.#at < (this.#chunks[0]?.length ?? 0)) return;
    this.#chunks.shift();
    this.#at = 0;
  }

  #decode(content: Buffer): Message | undefined {
    let message: unknown;
    try {
      const { decode } = this.#options;
      message = decode === undefined ? JSON.parse(content.toString('utf8')) : decode(content);
    } catch {
      // V8's own message is not passed on: it quotes the content, which is somebody's source.
      this.#options.onFault({ kind: 'syntax', message: 'The message is not valid JSON.', id: null });
      return undefined;
    }
    const fault = invalidity(message);
    if (fault === undefined) return message as Message;
    this.#options.onFault(fault);
    return undefined;
  }

  #stop(message: string): void {
    this.#state = { in: 'nothing' };
    this.#take(this.#buffered);
    this.#options.onFault({ kind: 'header', message });
  }
}
