// The typed client: one method, `request`, whose parameters and result have the types of the method table.
import type { Readable, Writable } from 'node:stream';
import {
  CancellationTokenSource,
  ConnectionError,
  createMessageConnection,
  ErrorCodes,
  Message,
  ProgressType,
  ResponseError,
  type DataCallback,
  type Disposable as Listening,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { BabelhostError, errorCodes, type ErrorKind } from '../base/errors.ts';
import { readJsonBlocks } from '../base/native.ts';
import { FrameReader } from './framing/frame-reader.ts';
import { FrameWriter } from './framing/frame-writer.ts';
import { ObjectReader, ObjectWriter } from './framing/object-messages.ts';
import type { FileResult, MethodName, Params, Result } from './methods.ts';
import { decodeWithRawTrees } from './raw-trees.ts';

// For names that are no UTF-8, which Node's own pathToFileURL cannot take.
export { pathOfFileUri, uriOfPath } from '../base/byte-paths.ts';

/** What is being done, with how much of how much: beyond LSP, so that a program can draw its own bar. */
export interface ProgressDetail {
  /** Such as `fetch`. */
  readonly phase: string;
  /** What it is done to, such as a layer's digest. */
  readonly item?: string;
  readonly done: number;
  readonly total?: number;
}

/** What a host reports on a `workDoneToken` (LSP 3.17, "Work Done Progress"). */
export type WorkDoneProgress =
  | { readonly kind: 'begin'; readonly title: string; readonly message?: string; readonly percentage?: number }
  | {
      readonly kind: 'report';
      readonly message?: string;
      readonly percentage?: number;
      readonly detail?: ProgressDetail;
    }
  | { readonly kind: 'end'; readonly message?: string };

export interface RequestOptions {
  /** Aborting sends `$/cancelRequest`; the request then fails with RequestCancelled (-32800). */
  readonly signal?: AbortSignal;
  /** Called with reports of progress; a token is made for them. */
  readonly onProgress?: (progress: WorkDoneProgress) => void;
  /** Called with what `parse/files` streams; a token is made for it. */
  readonly onPartialResult?: (results: readonly FileResult[]) => void;
}

export interface ClientOptions {
  /** Leave each `uast` undecoded, as a RawJson: for programs that hand trees on, at a tenth of the cost. */
  readonly rawTrees?: boolean;
  /**
   * Nobody else reads what `input` gives, as with a child's stdout or a socket: its memory is freed once it has been read. That
   * of a RawJson is when `free` has been called on it, and on all that came with it.
   */
  readonly ownsInput?: boolean;
}

/** The largest message accepted from a host: a larger Buffer can hardly be made a string. */
const largestMessage = 1024 * 1024 * 1024;

const progressType = new ProgressType<unknown>();

/** Reads a host's messages, and notes the error that it sends to no request of ours: why it ends the connection. */
class HostReader extends FrameReader {
  refusal: ResponseError<unknown> | undefined;

  override listen(callback: DataCallback): Listening {
    return super.listen((message) => {
      if (Message.isResponse(message) && message.id === null && message.error !== undefined) {
        const { code, message: sentence } = message.error;
        this.refusal = new ResponseError<unknown>(code, sentence, message.error.data as unknown);
      } else callback(message);
    });
  }
}

export class Client implements Disposable {
  readonly #connection: MessageConnection;
  #reader: HostReader | undefined;
  #tokens = 0;

  /**
   * A client that speaks over a pair of byte streams: a child's stdout and stdin, or a socket twice. Streams in object mode
   * are those of a host in this process (Host.serve), whose trees are a RawJson each.
   * @throws BabelhostError `runtimeMissing`, `digestMismatch` where trees are to be left undecoded and the package is not whole
   */
  constructor(input: Readable, output: Writable, options: ClientOptions = {}) {
    if (options.rawTrees === true) readJsonBlocks();
    this.#connection = input.readableObjectMode
      ? createMessageConnection(new ObjectReader(input), new ObjectWriter(output))
      : this.#framed(input, output, options);
    // Only disposing rejects the pending requests of a host that has died.
    this.#connection.onClose(() => {
      this.#connection.dispose();
    });
    this.#connection.listen();
  }

  #framed(input: Readable, output: Writable, options: ClientOptions): MessageConnection {
    this.#reader = new HostReader(input, {
      messageBytes: largestMessage,
      ownsChunks: options.ownsInput === true,
      ...(options.rawTrees === true && { decode: decodeWithRawTrees }),
      onFault: () => {
        this.#connection.dispose();
      },
    });
    return createMessageConnection(this.#reader, new FrameWriter(output));
  }

  /** Called when the host has gone. Requests in flight are rejected anyway. */
  onClose(listener: () => void): void {
    this.#connection.onClose(listener);
  }

  /** Lines of the host's log, after `$/setTrace`: type 1 is an error, 2 a warning, 3 information, 4 debugging. */
  onLogMessage(listener: (message: { type: number; message: string }) => void): void {
    this.#connection.onNotification('window/logMessage', listener);
  }

  /**
   * Sends a request and waits for its answer.
   * @throws BabelhostError with the kind and data that the host sent (`overloaded` from one that has as many clients as it
   * takes), `shuttingDown` where it has gone; ResponseError for JSON-RPC's and LSP's own codes.
   */
  async request<Name extends MethodName>(
    method: Name,
    params: Params<Name>,
    options: RequestOptions = {},
  ): Promise<Result<Name>> {
    const tokens: Record<string, string> = {};
    const cleanups: (() => void)[] = [];
    const listen = (key: string, listener: ((value: never) => void) | undefined): void => {
      if (listener === undefined) return;
      const token = `client-${++this.#tokens}`;
      tokens[key] = token;
      const registration = this.#connection.onProgress(progressType, token, listener as (value: unknown) => void);
      cleanups.push(() => {
        registration.dispose();
      });
    };
    listen('workDoneToken', options.onProgress);
    listen('partialResultToken', options.onPartialResult);
    const cancellation = new CancellationTokenSource();
    const cancel = (): void => {
      cancellation.cancel();
    };
    if (options.signal?.aborted === true) cancel();
    options.signal?.addEventListener('abort', cancel);
    cleanups.push(() => {
      options.signal?.removeEventListener('abort', cancel);
    });
    try {
      return await this.#connection.sendRequest<Result<Name>>(method, { ...params, ...tokens }, cancellation.token);
    } catch (error) {
      throw errorFromResponse(isHostGone(error) ? (this.#reader?.refusal ?? error) : error);
    } finally {
      for (const cleanup of cleanups) cleanup();
    }
  }

  async notify(method: 'initialized' | 'exit' | '$/setTrace', params: object = {}): Promise<void> {
    await this.#connection.sendNotification(method, params);
  }

  [Symbol.dispose](): void {
    this.#connection.dispose();
  }
}

/** The error that a host answered with, as the class that was thrown there. */
function errorFromResponse(error: unknown): unknown {
  if (isHostGone(error)) {
    return new BabelhostError('shuttingDown', 'The host has gone before it answered.', {}, { cause: error });
  }
  if (!(error instanceof ResponseError)) return error;
  const data: unknown = error.data;
  if (typeof data !== 'object' || data === null || !('kind' in data)) return error;
  const { kind, ...rest } = data;
  return isErrorKind(kind) ? new BabelhostError(kind, error.message, rest, { cause: error }) : error;
}

function isHostGone(error: unknown): boolean {
  return (
    error instanceof ConnectionError ||
    (error instanceof ResponseError && error.code === ErrorCodes.PendingResponseRejected)
  );
}

function isErrorKind(kind: unknown): kind is ErrorKind {
  return typeof kind === 'string' && Object.hasOwn(errorCodes, kind);
}
