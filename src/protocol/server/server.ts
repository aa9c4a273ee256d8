// One client's connection: frames in, methods called, answers out, and the lifecycle that LSP 3.17 gives it. A host may
// have several; each has its own cancellation and progress.
//
// Requests are dispatched here and not by vscode-jsonrpc, whose types, errors and client are used: its queue takes one
// message in a turn of the event loop, through an emitter, two timers and a dozen promises, which costs a request that takes
// the driver half a millisecond a quarter more. Here it reaches its handler in the turn in which it was read.
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  ErrorCodes,
  Message,
  ResponseError,
  type Disposable as Listening,
  type NotificationMessage,
  type RequestMessage,
  type ResponseMessage,
} from 'vscode-jsonrpc/node';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';
import type { TraceContext } from '../../drivers/observer.ts';
import type { Logger } from '../../base/log.ts';
import { version } from '../../base/package.ts';
import { BackPressure, heldBytes } from './back-pressure.ts';
import { FrameReader, type FrameFault } from '../framing/frame-reader.ts';
import { FrameWriter } from '../framing/frame-writer.ts';
import { ObjectReader, ObjectWriter } from '../framing/object-messages.ts';
import type { HostServices, RequestContext } from '../handlers/handler.ts';
import { handlers } from '../handlers/handlers.ts';
import type { Method } from '../methods/method.ts';
import { methods, type CheckedParams, type MethodName, type Result } from '../methods.ts';
import { ProgressReporter } from './progress.ts';
import { frameError, invalidParams, responseError } from './responses.ts';

export interface ServerOptions {
  /** The largest message that is accepted from the client, in bytes. */
  readonly messageBytes: number;
  /** How long requests in flight may go on after the client has closed its end or asked to shut down, in ms. */
  readonly drainMs: number;
}

/** How a connection ended: after `exit`, properly or not, or because the client's stream ended. */
export type ConnectionEnd = { readonly by: 'exit'; readonly afterShutdown: boolean } | { readonly by: 'close' };

/** How often to check whether the process that `initialize` named still lives, in milliseconds. */
const parentCheckMs = 1000;

let connections = 0;

export class ServerConnection {
  /** Resolves when the connection has ended and its requests have been answered or given up. Never rejects. */
  readonly ended: Promise<ConnectionEnd>;
  readonly #services: HostServices;
  readonly #options: ServerOptions;
  readonly #logger: Logger;
  readonly #reader: FrameReader | ObjectReader;
  readonly #writer: FrameWriter | ObjectWriter;
  readonly #pressure: BackPressure;
  readonly #listening: Listening;
  readonly #name: string;
  #called = 0;
  /** The requests being worked on, except `shutdown`, which waits for them. */
  readonly #inFlight = new Set<AbortController>();
  readonly #byId = new Map<string | number, AbortController>();
  /** Called when no request is in flight any more. */
  #onIdle: (() => void)[] = [];
  #initialized = false;
  #shutdown = false;
  #gone = false;
  readonly #end: (end: ConnectionEnd) => void;
  /** Ends the subscription to the log. */
  #stopLog: () => void = () => undefined;
  #parentTimer: NodeJS.Timeout | undefined;

  constructor(services: HostServices, input: Readable, output: Writable, options: ServerOptions) {
    this.#services = services;
    this.#options = options;
    this.#logger = services.logger;
    connections += 1;
    this.#name = `c${connections}`;
    this.#pressure = new BackPressure(input, output, () => {
      services.pools.dispatch();
    });
    const { promise, resolve } = Promise.withResolvers<ConnectionEnd>();
    this.#end = resolve;
    const close = (): void => {
      this.#end({ by: 'close' });
    };
    this.#writer = output.writableObjectMode ? new ObjectWriter(output) : new FrameWriter(output);
    // Nobody reads the answers any more: the client's requests may stop.
    output.once('close', close);
    this.#writer.onError(close);
    const onEnd = (): void => {
      void this.#drain().then(close);
    };
    this.#reader = input.readableObjectMode
      ? new ObjectReader(input, onEnd)
      : new FrameReader(input, {
          messageBytes: options.messageBytes,
          ownsChunks: input instanceof Socket,
          onFault: (fault) => {
            this.#pressure.read(this.#writer.pending);
            this.#refuse(fault);
          },
          onAhead: (is) => {
            this.#pressure.ahead(is);
          },
          onEnd,
        });
    this.#reader.onError((error) => {
      this.#logger.debug({ err: error }, 'connection error');
    });
    this.ended = promise.then((end) => {
      this.#gone = true;
      clearInterval(this.#parentTimer);
      this.#stopLog();
      this.#listening.dispose();
      for (const request of [...this.#byId.values(), ...this.#inFlight]) request.abort();
      return end;
    });
    this.#listening = this.#reader.listen((message) => {
      this.#take(message);
    });
  }

  #take(message: Message): void {
    if (this.#gone) return;
    this.#pressure.read(this.#writer.pending);
    if (Message.isRequest(message)) void this.#serve(message);
    else if (Message.isNotification(message)) this.#notified(message);
    // The host sends no requests: a client's fault, and no reason to stop.
    else this.#logger.debug('a response that nothing had asked for was ignored');
  }

  /** Answers a request. Never rejects. */
  async #serve({ id, method, params }: RequestMessage): Promise<void> {
    const request = new AbortController();
    if (id !== null) this.#byId.set(id, request);
    if (method !== 'shutdown') this.#inFlight.add(request);
    const response: ResponseMessage = { jsonrpc: '2.0', id };
    try {
      response.result = (await this.#call(method, params ?? {}, request.signal)) ?? null;
    } catch (error) {
      response.error = responseError(error, this.#logger).toJson();
    }
    if (id !== null && this.#byId.get(id) === request) this.#byId.delete(id);
    // A client that has gone is noticed by its streams.
    void this.#writer.write(response).catch(() => undefined);
    this.#inFlight.delete(request);
    if (this.#inFlight.size === 0) for (const idle of this.#onIdle.splice(0)) idle();
  }

  /** @throws what responseError makes an answer of */
  async #call(name: string, given: unknown, signal: AbortSignal): Promise<unknown> {
    if (!isMethodName(name)) {
      throw new ResponseError(
        ErrorCodes.MethodNotFound,
        `There is no method ${JSON.stringify(name.slice(0, 200))}; rpc.discover lists those that there are.`,
        { kind: 'methodNotFound' },
      );
    }
    if (this.#shutdown) {
      // LSP 3.17, "Shutdown Request": any request after it is invalid.
      throw new ResponseError(ErrorCodes.InvalidRequest, 'The host is shutting down and takes no more requests.', {
        kind: 'shuttingDown',
      });
    }
    const method: Method = methods[name];
    const checked = method.params().safeParse(given);
    if (!checked.success) throw invalidParams(name, checked.error);
    if (name === 'initialize') return this.#initialize(checked.data);
    if (name === 'shutdown') {
      this.#shutdown = true;
      await this.#drain();
      return null;
    }
    const params = checked.data;
    const id = `${this.#name}-${++this.#called}`;
    const { workDoneToken, partialResultToken } = params;
    const progress = new ProgressReporter((report) => {
      if (workDoneToken !== undefined) void this.#sendProgress(workDoneToken, report).catch(() => undefined);
    });
    const span = this.#services.tracer?.start(name, params['_meta'] as TraceContext | undefined);
    span?.annotate({ 'babelhost.request': id });
    const bytes = heldBytes(params);
    this.#pressure.hold(bytes);
    let failure: unknown;
    try {
      // The handler's own type is lost on the way through the table; the table ties schema and handler together.
      const handler = handlers[name] as (params: unknown, context: RequestContext, services: HostServices) => unknown;
      const context: RequestContext = {
        client: this.#pressure,
        id,
        span,
        signal,
        progress,
        sendPartialResult:
          partialResultToken === undefined ? undefined : (results) => this.#sendProgress(partialResultToken, results),
      };
      return await handler(params, context, this.#services);
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      span?.end(failure);
      this.#logger.trace({ request: id, method: name, kind: kindOf(failure) }, 'request answered');
      this.#pressure.hold(-bytes);
      progress.end();
    }
  }

  #initialize(params: CheckedParams<'initialize'>): Result<'initialize'> {
    if (this.#initialized) {
      // LSP 3.17, "Initialize Request": it may be sent only once.
      throw new ResponseError(
        ErrorCodes.InvalidRequest,
        'The connection has been initialized already; go on with it.',
        {
          kind: 'invalidRequest',
        },
      );
    }
    this.#initialized = true;
    const { processId, trace } = params;
    if (processId !== undefined && processId !== null) this.#watchParent(processId);
    if (trace !== undefined) this.#setTrace(trace);
    return {
      capabilities: { experimental: { methods: Object.keys(methods) } },
      serverInfo: { name: 'babelhost', version },
    };
  }

  /** LSP 3.17, "Initialize Request": the server ends when the process that `initialize` names does. */
  #watchParent(processId: number): void {
    clearInterval(this.#parentTimer);
    this.#parentTimer = setInterval(() => {
      if (isAlive(processId)) return;
      this.#logger.info({ processId }, 'the client’s process has ended; so does its connection');
      this.#end({ by: 'close' });
    }, parentCheckMs).unref();
  }

  /** @param value of LSP's TraceValue: anything but `off` asks for the log as `window/logMessage` */
  #setTrace(value: string): void {
    this.#stopLog();
    if (value === 'off') return;
    this.#stopLog = this.#services.relay.subscribe((line) => {
      // Lines are dropped while the client's stream is full.
      if (!this.#pressure.backedUp) void this.#notify('window/logMessage', line).catch(() => undefined);
    });
  }

  #notified({ method, params }: NotificationMessage): void {
    const given: Readonly<Record<string, unknown>> =
      typeof params === 'object' && !Array.isArray(params) ? { ...params } : {};
    if (method === '$/cancelRequest') {
      const { id } = given;
      // An id that is unknown may have been answered meanwhile.
      if (typeof id === 'string' || typeof id === 'number') this.#byId.get(id)?.abort();
    } else if (method === 'exit') this.#end({ by: 'exit', afterShutdown: this.#shutdown });
    else if (method === '$/setTrace') {
      if (typeof given['value'] === 'string') this.#setTrace(given['value']);
    } else if (method !== 'initialized' && !method.startsWith('$/')) {
      this.#logger.debug({ method: method.slice(0, 200) }, 'a notification that is not known was ignored');
    }
  }

  #sendProgress(token: unknown, value: unknown): Promise<void> {
    return this.#notify('$/progress', { token, value });
  }

  #notify(method: string, params: object): Promise<void> {
    const message: NotificationMessage = { jsonrpc: '2.0', method, params };
    return this.#writer.write(message);
  }

  /**
   * Ends the connection from the host's side, as on SIGTERM: no more requests are taken, those in flight may finish within
   * `drainMs`. Resolves when they have.
   */
  async shutDown(): Promise<void> {
    this.#shutdown = true;
    await this.#drain();
    this.#end({ by: 'close' });
  }

  /** Waits until every request that was read has been answered, for `drainMs` at most. */
  async #drain(): Promise<void> {
    const deadline = performance.now() + this.#options.drainMs;
    while (this.#reader.ahead && !this.#gone && performance.now() < deadline) await nextTurn();
    if (this.#inFlight.size > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.max(deadline - performance.now(), 0));
        this.#onIdle.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    await this.#writer.flushed();
  }

  /** Answers a frame that is no request, so that its sender is not left waiting. */
  #refuse(fault: FrameFault): void {
    const id = 'id' in fault ? fault.id : null;
    // Without the message, which may quote what the client sent.
    this.#logger.warn({ fault: fault.kind, client: this.#name }, 'a message of the client was refused');
    const response: ResponseMessage = { jsonrpc: '2.0', id, error: frameError(fault) };
    const written = this.#writer.write(response).catch(() => undefined);
    // Without a valid header the start of the next frame is unknown.
    if (fault.kind === 'header') {
      void written.then(() => {
        this.#end({ by: 'close' });
      });
    }
  }
}

function isMethodName(name: string): name is MethodName {
  return Object.hasOwn(methods, name);
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, as another user's.
    return systemErrorCode(error) === 'EPERM';
  }
}

/** The kind of an error for the log. Its message may quote the client's data. */
function kindOf(error: unknown): string | undefined {
  if (error === undefined) return undefined;
  return error instanceof BabelhostError ? error.kind : error instanceof Error ? error.name : 'unknown';
}
