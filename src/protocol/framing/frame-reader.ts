// Messages from a byte stream, for both ends of a connection: in either framing, bounded, and checked to be messages.
// vscode-jsonrpc's own reader buffers whatever length a header claims.
import type { Readable } from 'node:stream';
import type { Message } from 'vscode-jsonrpc/node';
import { AbstractMessageReader, Disposable, type DataCallback, type MessageReader } from 'vscode-jsonrpc/node';
import { ByteQueue } from './byte-queue.ts';
import {
  detectFraming,
  skipByteOrderMark,
  type Found,
  type FrameFault,
  type Framing,
  type FramingChoice,
  type FramingName,
} from './framing.ts';
import { HeaderFraming } from './header-framing.ts';
import { LineFraming } from './line-framing.ts';

/** Messages that are passed on in one turn of the event loop: other clients have theirs, too. */
const messagesInATurn = 32;

export interface FrameReaderOptions {
  /** The largest message that is accepted, in bytes. */
  readonly messageBytes: number;
  /** How messages lie in the stream; `headers` where it is not given. */
  readonly framing?: FramingChoice;
  /** Called with each frame that is refused. After a `header` fault nothing is read: the next frame's start is unknown. */
  readonly onFault: (fault: FrameFault) => void;
  /**
   * Called at the end of the stream, in place of closing the connection: a script that sends its requests and closes its
   * end still wants the answers.
   */
  readonly onEnd?: () => void;
  /**
   * Called in each turn of the event loop in which more messages were read than are passed on in one, and when the last of
   * them was: the stream should not be read meanwhile. Without it, all are passed on at once.
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
  readonly #bytes: ByteQueue;
  #framing: Framing | undefined;
  #begun = false;
  /** Nothing is read any more. */
  #stopped = false;
  #ahead = false;
  #ended = false;

  constructor(stream: Readable, options: FrameReaderOptions) {
    super();
    this.#stream = stream;
    this.#options = options;
    this.#bytes = new ByteQueue(options.ownsChunks === true);
    const { framing = 'headers' } = options;
    if (framing !== 'auto') this.#framing = this.#make(framing);
  }

  /** Whether messages that were read are still to be passed on, in later turns. */
  get ahead(): boolean {
    return this.#ahead;
  }

  /** The framing of the stream, and of what answers it: `headers` until its first byte has told. */
  get framing(): FramingName {
    return this.#framing?.name ?? 'headers';
  }

  listen(callback: DataCallback): Disposable {
    const onData = (chunk: Buffer): void => {
      if (this.#stopped) return;
      this.#bytes.push(chunk);
      if (!this.#ahead) this.#advance(callback);
    };
    const onClose = (): void => {
      if (this.#ended) return;
      this.#ended = true;
      if (!this.#ahead) this.#end(callback);
    };
    const onError = (error: Error): void => {
      this.fireError(error);
    };
    this.#stream.on('data', onData).once('end', onClose).once('close', onClose).on('error', onError);
    return Disposable.create(() => {
      this.#stop();
      this.#stream.off('data', onData).off('end', onClose).off('close', onClose);
    });
  }

  #end(callback: DataCallback): void {
    if (!this.#stopped) {
      const left = (this.#framing ?? this.#make('headers')).last(this.#bytes);
      if (left !== undefined) this.#pass(left, callback);
    }
    if (this.#options.onEnd === undefined) this.fireClose();
    else this.#options.onEnd();
  }

  /** Passes on the messages that are buffered, as many as one turn of the event loop may have. */
  #advance(callback: DataCallback): void {
    const { onAhead } = this.#options;
    for (let count = 0; !this.#stopped;) {
      const found = this.#next();
      if (found === undefined) break;
      this.#pass(found, callback);
      count += 1;
      if (onAhead === undefined || count < messagesInATurn || this.#bytes.length === 0) continue;
      this.#ahead = true;
      onAhead(true);
      setImmediate(() => {
        this.#advance(callback);
      });
      return;
    }
    if (!this.#ahead) return;
    this.#ahead = false;
    onAhead?.(false);
    if (this.#ended) this.#end(callback);
  }

  /** The next message that is whole, or a frame that is refused. */
  #next(): Found | undefined {
    this.#begun ||= skipByteOrderMark(this.#bytes);
    if (!this.#begun) return undefined;
    if (this.#framing === undefined) {
      const name = detectFraming(this.#bytes);
      if (name === undefined) return undefined;
      this.#framing = this.#make(name);
    }
    return this.#framing.next(this.#bytes);
  }

  #make(name: FramingName): Framing {
    const { messageBytes } = this.#options;
    return name === 'lines' ? new LineFraming(messageBytes) : new HeaderFraming(messageBytes);
  }

  #pass(found: Found, callback: DataCallback): void {
    const { onFault, decode = decodeText } = this.#options;
    if ('fault' in found) {
      if (found.fault.kind === 'header') this.#stop();
      onFault(found.fault);
      return;
    }
    let message: unknown;
    try {
      message = decode(found.content);
    } catch {
      // V8's own message quotes the content, which is somebody's source.
      const lines = this.framing === 'lines' ? ' Each line is a message of its own.' : '';
      onFault({ kind: 'syntax', message: `The message is not valid JSON.${lines}`, id: null });
      return;
    }
    const fault = invalidity(message);
    if (fault === undefined) callback(message as Message);
    else onFault({ kind: 'invalid', ...fault });
  }

  #stop(): void {
    this.#stopped = true;
    this.#bytes.skip(this.#bytes.length);
  }
}

function decodeText(content: Buffer): unknown {
  return JSON.parse(content.toString('utf8'));
}

/** Why a value is neither request, notification nor response (JSON-RPC 2.0, sections 4 and 5). */
function invalidity(value: unknown): { message: string; id: string | number | null } | undefined {
  // LSP does without batches, and so do we: a frame costs nothing here.
  if (Array.isArray(value)) {
    return { message: 'Batches are not supported: send each request as a message of its own.', id: null };
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
