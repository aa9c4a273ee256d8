// One client's connection: frames in, methods called, answers out, and the lifecycle that LSP 3.17 gives it. A host may
// have several; each has its own cancellation and progress.
import type { Readable, Writable } from 'node:stream';
import {
  createMessageConnection,
  ErrorCodes,
  ProgressType,
  ResponseError,
  type CancellationToken,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { BabelhostError } from '../errors.ts';
import type { TraceContext } from '../drivers/observer.ts';
import type { RequestSource } from '../drivers/request-queue.ts';
import type { Logger } from '../log.ts';
import { version } from '../version.ts';
import type { WorkDoneProgress } from './client.ts';
import { FrameReader, FrameWriter, type FrameFault } from './framing.ts';
import { handlers, type RequestContext } from './handlers.ts';
import type { Method } from './method.ts';
import { isMethodName, methods, type CheckedParams, type MethodName, type Result } from './methods.ts';
import { ProgressReporter } from './progress.ts';
import { errorObject, invalidParams, responseError } from './responses.ts';
import type { HostServices } from './services.ts';

export interface ServerOptions {
  /** The largest message that is taken from the client, in bytes. */
  readonly messageBytes: number;
  /** How long requests in flight may go on after the client has closed its end or asked to shut down, in ms. */
  readonly drainMs: number;
}

/** How a connection ended: after `exit`, properly or not, or because the client's stream ended. */
export type ConnectionEnd = { readonly by: 'exit'; readonly afterShutdown: boolean } | { readonly by: 'close' };

let connections = 0;

const progressType = new ProgressType<unknown>();

/** A client that has left more than this unread, in bytes, is not served before it reads. */
const unreadBytes = 64 * 1024 * 1024;

/** A client that has left this many messages unread as well is not read from either: it might ask without end. */
const unreadMessages = 1000;

/** Requests of more bytes than this at once, and the client is not read from until some are answered. */
const askedBytes = 256 * 1024 * 1024;

/** What a request costs besides its source, in bytes or nearly so; and one whose source is a file that is yet to be read. */
const requestBytes = 4 * 1024;
const fileBytes = 256 * 1024;

/** A client that is so many messages ahead of what the connection has taken up is not read from for a while. */
const messagesAhead = 1000;

/** How often it is looked whether the process that `initialize` named still lives, in milliseconds. */
const parentCheckMs = 1000;

export class ServerConnection {
  /** Resolves when the connection has ended and its requests have been answered or given up. Never rejects. */
  readonly ended: Promise<ConnectionEnd>;
  readonly #services: HostServices;
  readonly #options: ServerOptions;
  readonly #logger: Logger;
  readonly #connection: MessageConnection;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  /** Requests whose handlers have been called. */
  #handled = 0;
  readonly #client: RequestSource;
  readonly #input: Readable;
  /** Bytes of sources in requests that are being worked on. */
  #heldBytes = 0;
  /** Messages that were read and, one in each turn of the event loop, are taken up by the connection. */
  #ahead = 0;
  #countingDown = false;
  /** Why the client is not read from now: each reason suffices. */
  readonly #full = new Set<'asks' | 'leaves unread' | 'is ahead'>();
  readonly #name: string;
  #called = 0;
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #gone = new AbortController();
  #shutdown = false;
  #stopLog: (() => void) | undefined;
  #parentCheck: NodeJS.Timeout | undefined;
  #end: (end: ConnectionEnd) => void = () => undefined;

  constructor(services: HostServices, input: Readable, output: Writable, options: ServerOptions) {
    this.#services = services;
    this.#options = options;
    this.#logger = services.logger;
    this.#input = input;
    connections += 1;
    this.#name = `c${connections}`;
    this.#client = {
      get clogged() {
        return output.writableLength > unreadBytes;
      },
    };
    output.on('drain', () => {
      this.#stopReading('leaves unread', false);
      services.pools.dispatch();
    });
    const closing = new Promise<ConnectionEnd>((resolve) => {
      this.#end = resolve;
    });
    this.#reader = new FrameReader(input, {
      messageBytes: options.messageBytes,
      onMessage: () => {
        this.#read();
      },
      onFault: (fault) => {
        this.#read();
        this.#refuse(fault);
      },
      onEnd: () => {
        void this.#drain().then(() => {
          this.#end({ by: 'close' });
        });
      },
    });
    this.#writer = new FrameWriter(output);
    this.#connection = createMessageConnection(this.#reader, this.#writer);
    // Nobody reads the answers any more: what is still at work for this client may stop.
    const unread = (): void => {
      this.#end({ by: 'close' });
    };
    output.once('close', unread);
    this.#writer.onError(unread);
    this.#connection.onRequest((method, params, token) => {
      this.#handled += 1;
      const work = this.#handle(method, params, token);
      // A shutdown waits for the others; among them it would wait for itself.
      return method === 'shutdown' ? work : this.#track(work);
    });
    this.#connection.onNotification((method, params) => {
      this.#notified(method, params);
    });
    // A response to a request that was never sent, and the like: a client's fault, and no reason to stop.
    this.#connection.onError(([error]) => {
      this.#logger.debug({ err: error }, 'connection error');
    });
    this.ended = closing.then((end) => {
      this.#gone.abort();
      clearInterval(this.#parentCheck);
      this.#stopLog?.();
      this.#connection.dispose();
      return end;
    });
    this.#connection.listen();
  }

  async #handle(name: string, params: unknown, token: CancellationToken): Promise<unknown> {
    try {
      if (!isMethodName(name)) {
        throw new ResponseError(
          ErrorCodes.MethodNotFound,
          `There is no method ${JSON.stringify(name.slice(0, 200))}; rpc.discover lists those that there are.`,
          {
            kind: 'methodNotFound',
          },
        );
      }
      if (this.#shutdown) {
        // LSP 3.17, "Shutdown Request": any request after it is invalid.
        throw new ResponseError(ErrorCodes.InvalidRequest, 'The host is shutting down and takes no more requests.', {
          kind: 'shuttingDown',
        });
      }
      return await this.#call(name, params, token);
    } catch (error) {
      return responseError(error, this.#logger);
    }
  }

  async #call(name: MethodName, params: unknown, token: CancellationToken): Promise<unknown> {
    const method: Method = methods[name];
    const checked = method.params.safeParse(params ?? {});
    if (!checked.success) throw invalidParams(name, checked.error);
    if (name === 'initialize') return this.#initialize(checked.data);
    if (name === 'shutdown') {
      this.#shutdown = true;
      await this.#drain();
      return null;
    }
    const controller = new AbortController();
    const cancel = (): void => {
      controller.abort();
    };
    if (token.isCancellationRequested) cancel();
    const registration = token.onCancellationRequested(cancel);
    this.#gone.signal.addEventListener('abort', cancel);
    const progress = this.#progress(checked.data['workDoneToken']);
    const bytes = heldBytes(checked.data);
    this.#hold(bytes);
    this.#called += 1;
    const id = `${this.#name}-${this.#called}`;
    const span = this.#services.tracer?.start(name, checked.data['_meta'] as TraceContext | undefined);
    span?.annotate({ 'babelhost.request': id });
    let failure: unknown;
    try {
      // The handler's own type is lost on the way through the table; the table ties schema and handler together.
      const handler = handlers[name] as (params: unknown, context: RequestContext, services: HostServices) => unknown;
      return await handler(
        checked.data,
        {
          client: this.#client,
          id,
          span,
          signal: controller.signal,
          progress,
          sendPartialResult: this.#partialResults(checked.data['partialResultToken']),
        },
        this.#services,
      );
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      span?.end(failure);
      this.#logger.trace({ request: id, method: name, kind: kindOf(failure) }, 'request answered');
      this.#hold(-bytes);
      progress.end();
      registration.dispose();
      this.#gone.signal.removeEventListener('abort', cancel);
    }
  }

  #initialize(params: CheckedParams<'initialize'>): Result<'initialize'> {
    const { processId, trace } = params;
    if (processId !== undefined && processId !== null) this.#watchParent(processId);
    if (trace !== undefined) this.#setTrace(trace);
    return {
      capabilities: { experimental: { methods: Object.keys(methods) } },
      serverInfo: { name: 'babelhost', version },
    };
  }

  #notified(method: string, params: unknown): void {
    if (method === 'exit') this.#end({ by: 'exit', afterShutdown: this.#shutdown });
    else if (method === '$/setTrace') {
      const value = typeof params === 'object' && params !== null && 'value' in params ? params.value : undefined;
      if (typeof value === 'string') this.#setTrace(value);
    } else if (method !== 'initialized' && !method.startsWith('$/')) {
      this.#logger.debug({ method: method.slice(0, 200) }, 'a notification that is not known was ignored');
    }
  }

  #setTrace(value: string): void {
    this.#stopLog?.();
    this.#stopLog = undefined;
    if (value === 'off') return;
    this.#stopLog = this.#services.relay.subscribe((line) => {
      // A log is no answer: what a client has no room for is not kept for it.
      if (this.#client.clogged) return;
      this.#connection.sendNotification('window/logMessage', line).catch(() => undefined);
    });
  }

  /** LSP 3.17, "Initialize Request": the server ends when the process with this id does. */
  #watchParent(processId: number): void {
    clearInterval(this.#parentCheck);
    this.#parentCheck = setInterval(() => {
      try {
        process.kill(processId, 0);
      } catch (error) {
        // EPERM: it lives, as another user's.
        if (error instanceof Error && 'code' in error && error.code === 'EPERM') return;
        this.#logger.info({ processId }, 'the client’s process has ended; so does its connection');
        this.#end({ by: 'close' });
      }
    }, parentCheckMs);
    this.#parentCheck.unref();
  }

  #progress(token: unknown): ProgressReporter {
    return new ProgressReporter((progress: WorkDoneProgress) => {
      if (isToken(token)) this.#connection.sendProgress(progressType, token, progress).catch(() => undefined);
    });
  }

  #partialResults(token: unknown): RequestContext['sendPartialResult'] {
    if (!isToken(token)) return undefined;
    return async (results) => {
      await this.#connection.sendProgress(progressType, token, results);
    };
  }

  /** A client that asks faster than it is answered is not read from for a while: what it sent is bounded. */
  #hold(bytes: number): void {
    this.#heldBytes += bytes;
    this.#stopReading('asks', this.#heldBytes > askedBytes);
  }

  /** Notes a message that was read. */
  #read(): void {
    if (this.#client.clogged && this.#writer.pending > unreadMessages) this.#stopReading('leaves unread', true);
    this.#ahead += 1;
    // vscode-jsonrpc takes up one message in a turn of the event loop, however many are read in it.
    if (this.#ahead > messagesAhead && !this.#countingDown) {
      this.#countingDown = true;
      this.#stopReading('is ahead', true);
      const countDown = (): void => {
        this.#ahead -= 1;
        this.#countingDown = this.#ahead > 0;
        if (this.#countingDown) setImmediate(countDown);
        else this.#stopReading('is ahead', false);
      };
      setImmediate(countDown);
    }
  }

  #stopReading(reason: 'asks' | 'leaves unread' | 'is ahead', full: boolean): void {
    const before = this.#full.size;
    if (full) this.#full.add(reason);
    else this.#full.delete(reason);
    if (before === 0 && this.#full.size > 0) this.#input.pause();
    else if (before > 0 && this.#full.size === 0) this.#input.resume();
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#inFlight.add(work);
    try {
      return await work;
    } finally {
      this.#inFlight.delete(work);
    }
  }

  /**
   * Ends the connection from the host's side, as where the host's process is asked to end: no more requests are taken,
   * those in flight may finish within `drainMs`. Resolves when they have.
   */
  async shutDown(): Promise<void> {
    this.#shutdown = true;
    await this.#drain();
    this.#end({ by: 'close' });
  }

  /** Waits until every request that was read has been answered; those in the way of a shutdown for `drainMs` at most. */
  async #drain(): Promise<void> {
    const deadline = performance.now() + this.#options.drainMs;
    // The connection calls the handlers of what it has read one by one, in turns of the event loop; once it has ended, no
    // more of them.
    const unhandled = (): boolean => this.#handled < this.#reader.requests && !this.#gone.signal.aborted;
    while (unhandled() && performance.now() < deadline) await turn();
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      Promise.allSettled([...this.#inFlight]),
      new Promise((resolve) => {
        timer = setTimeout(resolve, Math.max(deadline - performance.now(), 0));
      }),
    ]);
    clearTimeout(timer);
    // The answers have been made, but the connection writes them in turns of its own.
    await turn();
    await this.#writer.flushed();
  }

  /** Answers a frame that is no request, so that its sender is not left waiting. */
  #refuse(fault: FrameFault): void {
    const id = 'id' in fault ? fault.id : null;
    const error =
      fault.kind === 'tooLarge'
        ? tooLarge(fault)
        : {
            code: fault.kind === 'invalid' ? ErrorCodes.InvalidRequest : ErrorCodes.ParseError,
            message: fault.message,
            data: { kind: fault.kind === 'invalid' ? 'invalidRequest' : 'parseError' },
          };
    // Not the message: it may quote what the client sent.
    this.#logger.warn({ fault: fault.kind, client: this.#name }, 'a message of the client was refused');
    const answered = this.#writer.write({ jsonrpc: '2.0', id, error } as never).catch(() => undefined);
    // Where one frame ends and the next begins is lost with its header: nothing after it can be understood.
    if (fault.kind === 'header') {
      void answered.then(() => {
        this.#end({ by: 'close' });
      });
    }
  }
}

/** The next turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function tooLarge({ length, limit }: { length: number; limit: number }): ReturnType<typeof errorObject> {
  return errorObject(
    new BabelhostError(
      'contentTooLarge',
      `The message has ${length} bytes, more than the limit of ${limit}; send a uri in place of the content, or raise the limit (--max-message-bytes).`,
      { contentBytes: length, limitBytes: limit },
    ),
  );
}

/** The kind of an error for the log, which gets no messages: they may name what the client would keep to itself. */
function kindOf(error: unknown): string | undefined {
  if (error === undefined) return undefined;
  return error instanceof BabelhostError ? error.kind : error instanceof Error ? error.name : 'unknown';
}

/** What a request holds while it is worked on, in bytes or nearly so. */
function heldBytes({ content, uri, uris }: Readonly<Record<string, unknown>>): number {
  if (typeof content === 'string') return requestBytes + content.length;
  if (typeof uri === 'string') return fileBytes;
  return requestBytes + (Array.isArray(uris) ? 100 * uris.length : 0);
}

function isToken(token: unknown): token is string | number {
  return typeof token === 'string' || typeof token === 'number';
}
