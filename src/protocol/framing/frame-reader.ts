// Content-Length frames from a byte stream (LSP 3.17, "Base Protocol"), bounded, for both ends of a connection:
// vscode-jsonrpc's own reader buffers whatever length a header claims.
import type { Readable } from 'node:stream';
import type { Message } from 'vscode-jsonrpc/node';
import { AbstractMessageReader, Disposable, type DataCallback, type MessageReader } from 'vscode-jsonrpc/node';
import { freeMemory } from '../../base/memory.ts';
import { TopLevelIdFinder } from '../message-id.ts';

/** No header block needs more than this: two fields are defined, both short. */
const headerLimit = 8 * 1024;

const headerEnd = Buffer.from('\r\n\r\n', 'latin1');

/** Messages that are passed on in one turn of the event loop: other clients have theirs, too. */
const messagesInATurn = 32;

/** Why a frame was refused. `id` is the request's, where one could be found. */
export type FrameFault =
  | { readonly kind: 'header'; readonly message: string }
  | { readonly kind: 'syntax'; readonly message: string; readonly id: null }
  | { readonly kind: 'invalid'; readonly message: string; readonly id: string | number | null }
  | { readonly kind: 'tooLarge'; readonly length: number; readonly limit: number; readonly id: string | number | null };

type State =
  | { readonly in: 'header' }
  | { readonly in: 'nothing' }
  | { readonly in: 'content'; readonly length: number }
  | { readonly in: 'skipped'; readonly length: number; left: number; readonly finder: TopLevelIdFinder };

export interface FrameReaderOptions {
  /** The largest message that is accepted, in bytes. */
  readonly messageBytes: number;
  /** Called with each frame that is refused. After a `header` fault nothing is read: the next frame's start is unknown. */
  readonly onFault: (fault: FrameFault) => void;
  /**
   * Called at the end of the stream, in place of closing the connection: a script that sends its requests and closes its
   * end still wants the answers.
   */
  readonly onEnd?: () => void;
  /**
   * Called when more messages were read than are passed on in one turn of the event loop, and when the last of them was:
   * the stream should not be read meanwhile. Without it, all are passed on at once.
   */
  readonly onAhead?: (is: boolean) => void;
  /** Decodes a message, in place of JSON.parse on all of it; throws where it is not valid JSON. */
  readonly decode?: (content: Buffer) => unknown;
  /** Nobody else has the chunks that the stream gives: they are freed once they have been read. */
  readonly ownsChunks?: boolean;
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
  #ended = false;

  constructor(stream: Readable, options: FrameReaderOptions) {
    super();
    this.#stream = stream;
    this.#options = options;
  }

  /** Whether messages that were read are still to be passed on, in later turns. */
  get ahead(): boolean {
    return this.#ahead;
  }

  listen(callback: DataCallback): Disposable {
    const onData = (chunk: Buffer): void => {
      this.#chunks.push(chunk);
      this.#buffered += chunk.length;
      if (!this.#ahead) this.#advance(callback);
    };
    const onClose = (): void => {
      if (this.#ended) return;
      this.#ended = true;
      if (!this.#ahead) this.#end();
    };
    const onError = (error: Error): void => {
      this.fireError(error);
    };
    this.#stream.on('data', onData).once('end', onClose).once('close', onClose).on('error', onError);
    return Disposable.create(() => {
      this.#stream.off('data', onData).off('end', onClose).off('close', onClose);
    });
  }

  #end(): void {
    if (this.#options.onEnd === undefined) this.fireClose();
    else this.#options.onEnd();
  }

  /** Passes on the messages that are buffered, as many as one turn of the event loop may have. */
  #advance(callback: DataCallback): void {
    const { onAhead } = this.#options;
    let count = 0;
    for (const message of this.#messages()) {
      if (message !== undefined) callback(message);
      count += 1;
      if (onAhead === undefined || count < messagesInATurn || this.#buffered === 0) continue;
      if (!this.#ahead) onAhead(true);
      this.#ahead = true;
      setImmediate(() => {
        this.#advance(callback);
      });
      return;
    }
    if (!this.#ahead) return;
    this.#ahead = false;
    onAhead?.(false);
    if (this.#ended) this.#end();
  }

  /** Takes the whole messages off the front of what is buffered; undefined for one that is refused. */
  *#messages(): Generator<Message | undefined> {
    for (;;) {
      const state = this.#state;
      if (state.in === 'nothing') {
        this.#take(this.#buffered);
        return;
      }
      if (state.in === 'header') {
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
        yield this.#decode(content);
      } else {
        if (this.#buffered === 0) return;
        const part = this.#take(Math.min(this.#buffered, state.left));
        state.finder.feed(part);
        state.left -= part.length;
        if (state.left > 0) return;
        const { length, finder } = state;
        this.#state = { in: 'header' };
        this.#options.onFault({ kind: 'tooLarge', length, limit: this.#options.messageBytes, id: finder.id });
        yield undefined;
      }
    }
  }

  /** Takes the header block and returns the content's length; undefined while it is incomplete, or if it is malformed. */
  #takeHeader(): number | undefined {
    if (this.#chunks.length > 1) {
      this.#chunks = [Buffer.concat(this.#chunks).subarray(this.#at)];
      this.#at = 0;
    }
    const block = this.#chunks[0]?.subarray(this.#at, this.#at + headerLimit) ?? Buffer.alloc(0);
    const end = block.indexOf(headerEnd);
    if (end < 0) {
      if (block.length >= headerLimit) this.#stop(`A header block of more than ${headerLimit} bytes.`);
      return undefined;
    }
    const header = block.toString('latin1', 0, end);
    this.#skip(end + headerEnd.length);
    const length = contentLength(header);
    if (length === undefined) {
      this.#stop(`A header without a valid Content-Length: ${JSON.stringify(header.slice(0, 200))}.`);
    }
    return length;
  }

  /** Takes a copy of `length` bytes off the front. */
  #take(length: number): Buffer {
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

  /** Drops bytes of the first chunk. */
  #skip(length: number): void {
    this.#at += length;
    this.#buffered -= length;
    if (this.#at < (this.#chunks[0]?.length ?? 0)) return;
    const chunk = this.#chunks.shift();
    this.#at = 0;
    if (chunk !== undefined && this.#options.ownsChunks === true) freeMemory([chunk]);
  }

  #decode(content: Buffer): Message | undefined {
    let message: unknown;
    try {
      const { decode } = this.#options;
      message = decode === undefined ? JSON.parse(content.toString('utf8')) : decode(content);
    } catch {
      // V8's own message quotes the content, which is somebody's source.
      this.#options.onFault({ kind: 'syntax', message: 'The message is not valid JSON.', id: null });
      return undefined;
    }
    const fault = invalidity(message);
    if (fault === undefined) return message as Message;
    this.#options.onFault({ kind: 'invalid', ...fault });
    return undefined;
  }

  #stop(message: string): void {
    this.#state = { in: 'nothing' };
    this.#take(this.#buffered);
    this.#options.onFault({ kind: 'header', message });
  }
}

/** The Content-Length of a header block; undefined where it is missing, repeated with another value, or no number. */
function contentLength(header: string): number | undefined {
  let length: number | undefined;
  for (const line of header.split('\r\n')) {
    const field = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (field === null) return undefined;
    if (field[1]?.toLowerCase() !== 'content-length') continue;
    const value = field[2] ?? '';
    if (!/^\d{1,15}$/.test(value)) return undefined;
    if (length !== undefined && length !== Number(value)) return undefined;
    length = Number(value);
  }
  return length;
}

/** Why a value is neither request, notification nor response (JSON-RPC 2.0, sections 4 and 5). */
function invalidity(value: unknown): { message: string; id: string | number | null } | undefined {
  // LSP does without batches, and so do we: a frame costs nothing here.
  if (Array.isArray(value)) {
    return { message: 'Batches are not supported: send each request in a frame of its own.', id: null };
  }
  if (typeof value !== 'object' || value === null) return { message: 'The message is not an object.', id: null };
  const { id, method, params } = value as Record<string, unknown>;
  const known = typeof id === 'string' || typeof id === 'number' ? id : null;
  if (method === undefined && ('result' in value || 'error' in value)) return undefined;
  if (typeof method !== 'string') return { message: 'The message has no method.', id: known };
  if ('id' in value && known === null) {
    return { message: 'The id of a request must be a string or a number.', id: null };
  }
  if (params !== undefined && params !== null && typeof params !== 'object') {
    return { message: 'The params must be an object.', id: known };
  }
  return undefined;
}
