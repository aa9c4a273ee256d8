// One client's connection: frames in, methods called, answers out, and the lifecycle that LSP 3.17 gives it. A host may
// have several; each has its own cancellation and progress.
//
// Requests are dispatched here and not by vscode-jsonrpc, whose types, errors and client are used: its queue takes one
// message in a turn of the event loop, through an emitter, two timers and a dozen promises, which costs a request that takes
// the driver half a millisecond a quarter more. Here it reaches its handler in the turn in which it was read.
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
import type { TraceContext } from '../../drivers/observer.ts';
import type { Logger } from '../../base/log.ts';
import { version } from '../../base/package.ts';
import { BackPressure, heldBytes } from './back-pressure.ts';
import type { FrameFault, FramingChoice } from '../framing/framing.ts';
import type { HostServices, RequestContext } from '../handlers/handler.ts';
import { handlers } from '../handlers/handlers.ts';
import type { Method } from '../methods/method.ts';
import { methods, type CheckedParams, type MethodName, type Result } from '../methods.ts';
import { HangUpWatch, type AwaitHangUp } from './hang-up.ts';
import { watchProcess } from './process-watch.ts';
import { ProgressReporter } from './progress.ts';
import { RequestsInFlight } from './requests-in-flight.ts';
import { frameError, invalidParams, kindOf, responseError } from './responses.ts';
import { openTransport, type Transport } from './transport.ts';

export interface ServerOptions {
  /** The largest message that is accepted from the client, in bytes. */
  readonly messageBytes: number;
  /** How long requests in flight may go on after the client has asked to shut down, or when the host ends, in ms. */
  readonly drainMs: number;
  readonly framing: FramingChoice;
  /** For an output that is no socket: tells when its reader has gone. */
  readonly awaitHangUp?: AwaitHangUp;
}

/**
 * How a connection ended: after `exit`, properly or not, or because the client's stream ended. `unreadable`: some of what the
 * client sent was nothing that could be answered by its id.
 */
export type ConnectionEnd =
  { readonly by: 'exit'; readonly afterShutdown: boolean } | { readonly by: 'close'; readonly unreadable: boolean };

let connections = 0;

export class ServerConnection {
  /** Resolves when the connection has ended and its requests have been answered or given up. Never rejects. */
  readonly ended: Promise<ConnectionEnd>;
  readonly #services: HostServices;
  readonly #options: ServerOptions;
  readonly #logger: Logger;
  readonly #reader: Transport['reader'];
  readonly #writer: Transport['writer'];
  readonly #pressure: BackPressure;
  readonly #hangUp: HangUpWatch;
  readonly #listening: Listening;
  readonly #name: string;
  #called = 0;
  readonly #requests = new RequestsInFlight();
  #initialized = false;
  #shutdown = false;
  #inputEnded = false;
  #gone = false;
  /** Some of what the client sent was nothing that could be answered by its id. */
  #unreadable = false;
  readonly #end: (end: ConnectionEnd) => void;
  /** Ends the subscription to the log. */
  #stopLog: () => void = () => undefined;
  /** Stops watching the process that `initialize` named. */
  #stopWatching: () => void = () => undefined;

  constructor(services: HostServices, input: Readable, output: Writable, options: ServerOptions) {
    this.#services = services;
    this.#options = options;
    this.#logger = services.logger;
    connections += 1;
    this.#name = `c${connections}`;
    const { promise, resolve } = Promise.withResolvers<ConnectionEnd>();
    this.#end = resolve;
    const close = (): void => {
      this.#close();
    };
    this.#hangUp = new HangUpWatch(output, options.awaitHangUp, close);
    this.#pressure = new BackPressure(input, output, {
      room: () => {
        services.pools.dispatch();
      },
      paused: (is) => {
        this.#hangUp.watch(is || this.#inputEnded);
      },
    });
    const { reader, writer } = openTransport(input, output, {
      messageBytes: options.messageBytes,
      framing: options.framing,
      onFault: (fault) => {
        this.#pressure.read(this.#writer.pending);
        this.#refuse(fault);
      },
      onAhead: (is) => {
        this.#pressure.ahead(is);
        // What a client that has gone had still to ask is not worked on.
        if (is) this.#hangUp.check();
      },
      onEnd: () => {
        // It may have closed its sending half alone, and read on.
        this.#inputEnded = true;
        this.#hangUp.check();
        this.#hangUp.watch(true);
        void this.#drain(Infinity).then(close);
      },
    });
    this.#reader = reader;
    this.#writer = writer;
    // Nobody reads the answers any more: the client's requests may stop.
    output.once('close', close);
    this.#writer.onError(close);
    this.#reader.onError((error) => {
      this.#logger.debug({ err: error }, 'connection error');
    });
    this.ended = promise.then((end) => {
      this.#gone = true;
      this.#hangUp[Symbol.dispose]();
      this.#stopWatching();
      this.#stopLog();
      this.#listening.dispose();
      this.#requests.cancelAll();
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
    const request = this.#requests.begin(id);
    const response: ResponseMessage = { jsonrpc: '2.0', id };
    try {
      response.result = (await this.#call(method, params ?? {}, request)) ?? null;
    } catch (error) {
      response.error = responseError(error, this.#logger).toJson();
    }
    // A client that has gone is noticed by its streams.
    void this.#writer.write(response).catch(() => undefined);
    this.#requests.end(id, request);
  }

  /** @throws what responseError makes an answer of */
  async #call(name: string, given: unknown, request: AbortController): Promise<unknown> {
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
      await this.#drain(this.#options.drainMs, request);
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
        signal: request.signal,
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
    // LSP 3.17, "Initialize Request": the server ends when the process that it names does.
    if (processId !== undefined && processId !== null) {
      this.#stopWatching = watchProcess(processId, () => {
        this.#logger.info({ processId }, 'the client’s process has ended; so does its connection');
        this.#close();
      });
    }
    if (trace !== undefined) this.#setTrace(trace);
    return {
      capabilities: { experimental: { methods: Object.keys(methods) } },
      serverInfo: { name: 'babelhost', version },
    };
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
      if (typeof id === 'string' || typeof id === 'number') this.#requests.cancel(id);
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
    await this.#drain(this.#options.drainMs);
    this.#close();
  }

  #close(): void {
    this.#end({ by: 'close', unreadable: this.#unreadable });
  }

  /** Waits until every request that was read has been answered, but for one that waits itself; or so many milliseconds. */
  async #drain(milliseconds: number, except?: AbortController): Promise<void> {
    const deadline = performance.now() + milliseconds;
    while (this.#reader.ahead && !this.#gone && performance.now() < deadline) await nextTurn();
    await this.#requests.wait(Math.max(deadline - performance.now(), 0), except);
    await this.#writer.flushed();
  }

  /** Answers a frame that is no request, so that its sender is not left waiting. */
  #refuse(fault: FrameFault): void {
    const id = 'id' in fault ? fault.id : null;
    this.#unreadable ||= id === null;
    // Without the message, which may quote what the client sent.
    this.#logger.warn({ fault: fault.kind, client: this.#name }, 'a message of the client was refused');
    const response: ResponseMessage = { jsonrpc: '2.0', id, error: frameError(fault) };
    void this.#writer.write(response).catch(() => undefined);
    // Nothing more can be read: this is the end of what the client asked.
    if (fault.kind === 'header') {
      void this.#drain(Infinity).then(() => {
        this.#close();
      });
    }
  }
}

function isMethodName(name: string): name is MethodName {
  return Object.hasOwn(methods, name);
}
