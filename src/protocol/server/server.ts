// One client's connection: frames in, methods called, answers out, and the lifecycle that LSP 3.17 gives it. A host may
// have several; each has its own cancellation and progress.
//
// Requests are dispatched here and not by vscode-jsonrpc, whose types, errors and client are used: its queue takes up one
// message in a turn of the event loop, and each passes an emitter, two timers and a dozen promises. A request that takes
// the driver half a millisecond was a quarter longer for it. Here it reaches its handler in the turn in which it was read.
import type { Readable, Writable } from 'node:stream';
import {
  ErrorCodes,
  Message,
  ResponseError,
  type Disposable as Listening,
  type NotificationMessage,
  type RequestMessage,
} from 'vscode-jsonrpc/node';
import { BabelhostError } from '../../base/errors.ts';
import type { TraceContext } from '../../drivers/observer.ts';
import type { Logger } from '../../base/log.ts';
import { version } from '../../base/package.ts';
import { BackPressure, heldBytes } from './back-pressure.ts';
import { FrameReader, type FrameFault } from '../framing/frame-reader.ts';
import { FrameWriter } from '../framing/frame-writer.ts';
import { handlers, type HandledMethod, type RequestContext } from '../handlers/handlers.ts';
import { LogMessages } from './log-messages.ts';
import type { Method } from '../methods/method.ts';
import { isMethodName, methods, type CheckedParams, type Result } from '../methods.ts';
import { ParentWatch } from './parent-watch.ts';
import { frameError, invalidParams, responseError } from './responses.ts';
import { ServedRequest } from './served-request.ts';
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

export class ServerConnection {
  /** Resolves when the connection has ended and its requests have been answered or given up. Never rejects. */
  readonly ended: Promise<ConnectionEnd>;
  readonly #services: HostServices;
  readonly #options: ServerOptions;
  readonly #logger: Logger;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  readonly #pressure: BackPressure;
  readonly #log: LogMessages;
  readonly #parent: ParentWatch;
  readonly #listening: Listening;
  readonly #name: string;
  #called = 0;
  /** Those that are being worked on, a `shutdown` aside: it waits for the others. */
  readonly #inFlight = new Set<ServedRequest>();
  readonly #byId = new Map<string | number, ServedRequest>();
  /** Told when no request is in flight any more. */
  #onIdle: (() => void)[] = [];
  #shutdown = false;
  #gone = false;
  #end: (end: ConnectionEnd) => void = () => undefined;

  constructor(services: HostServices, input: Readable, output: Writable, options: ServerOptions) {
    this.#services = services;
    this.#options = options;
    this.#logger = services.logger;
    connections += 1;
    this.#name = `c${connections}`;
    this.#pressure = new BackPressure(input, output, () => {
      services.pools.dispatch();
    });
    this.#writer = new FrameWriter(output);
    this.#log = new LogMessages(services.relay, (line) => {
      // A log is no answer: what a client has no room for is not kept for it.
      if (!this.#pressure.backedUp) void this.#notify('window/logMessage', line).catch(() => undefined);
    });
    this.#parent = new ParentWatch((processId) => {
      this.#logger.info({ processId }, 'the client’s process has ended; so does its connection');
      this.#end({ by: 'close' });
    });
    const closing = new Promise<ConnectionEnd>((resolve) => {
      this.#end = resolve;
    });
    this.#reader = new FrameReader(input, {
      messageBytes: options.messageBytes,
      onFault: (fault) => {
        this.#pressure.read(this.#writer.pending);
        this.#refuse(fault);
      },
      onAhead: (is) => {
        this.#pressure.ahead(is);
      },
      onEnd: () => {
        void this.#drain().then(() => {
          this.#end({ by: 'close' });
        });
      },
    });
    this.#reader.onError((error) => {
      this.#logger.debug({ err: error }, 'connection error');
    });
    // Nobody reads the answers any more: what is still at work for this client may stop.
    const unread = (): void => {
      this.#end({ by: 'close' });
    };
    output.once('close', unread);
    this.#writer.onError(unread);
    this.ended = closing.then((end) => {
      this.#gone = true;
      this.#parent.end();
      this.#log.end();
      this.#listening.dispose();
      for (const request of this.#byId.values()) request.cancel();
      for (const request of this.#inFlight) request.cancel();
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
    // A response to a request that was never sent: a client's fault, and no reason to stop.
    else this.#logger.debug('a response that nothing had asked for was ignored');
  }

  /** Answers a request. Never rejects. */
  async #serve({ id, method, params }: RequestMessage): Promise<void> {
    this.#called += 1;
    const request = new ServedRequest(this.#pressure, `${this.#name}-${this.#called}`, this.#sendProgress);
    if (id !== null) this.#byId.set(id, request);
    if (method !== 'shutdown') this.#inFlight.add(request);
    let result: unknown;
    let failure: ResponseError<unknown> | undefined;
    try {
      result = await this.#call(method, params ?? {}, request);
    } catch (error) {
      failure = responseError(error, this.#logger);
    }
    if (id !== null && this.#byId.get(id) === request) this.#byId.delete(id);
    this.#writer.send(
      failure === undefined
        ? { jsonrpc: '2.0', id, result: result ?? null }
        : { jsonrpc: '2.0', id, error: failure.toJson() },
    );
    this.#inFlight.delete(request);
    if (this.#inFlight.size === 0) for (const idle of this.#onIdle.splice(0)) idle();
  }

  /** @throws what responseError makes an answer of */
  #call(name: string, params: unknown, request: ServedRequest): unknown {
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
    const checked = method.params.safeParse(params);
    if (!checked.success) throw invalidParams(name, checked.error);
    if (name === 'initialize') return this.#initialize(checked.data);
    if (name === 'shutdown') {
      this.#shutdown = true;
      return this.#drain().then(() => null);
    }
    return this.#handle(name, checked.data, request);
  }

  async #handle(name: HandledMethod, params: Record<string, unknown>, request: ServedRequest): Promise<unknown> {
    request.takeTokens(params);
    const bytes = heldBytes(params);
    this.#pressure.hold(bytes);
    const span = this.#services.tracer?.start(name, params['_meta'] as TraceContext | undefined);
    if (span !== undefined) {
      span.annotate({ 'babelhost.request': request.id });
      request.span = span;
    }
    let failure: unknown;
    try {
      // The handler's own type is lost on the way through the table; the table ties schema and handler together.
      const handler = handlers[name] as (params: unknown, context: RequestContext, services: HostServices) => unknown;
      return await handler(params, request, this.#services);
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      span?.end(failure);
      this.#logger.trace({ request: request.id, method: name, kind: kindOf(failure) }, 'request answered');
      this.#pressure.hold(-bytes);
      request.end();
    }
  }

  #initialize(params: CheckedParams<'initialize'>): Result<'initialize'> {
    const { processId, trace } = params;
    if (processId !== undefined && processId !== null) this.#parent.watch(processId);
    if (trace !== undefined) this.#log.setTrace(trace);
    return {
      capabilities: { experimental: { methods: Object.keys(methods) } },
      serverInfo: { name: 'babelhost', version },
    };
  }

  #notified({ method, params }: NotificationMessage): void {
    const given: Readonly<Record<string, unknown>> =
      typeof params === 'object' && !Array.isArray(params) ? { ...params } : {};
    if (method === '$/cancelRequest') {
      const { id } = given;
      // One that has been answered meanwhile, or never was: there is nothing to do, and nobody to tell.
      if (typeof id === 'string' || typeof id === 'number') this.#byId.get(id)?.cancel();
    } else if (method === 'exit') this.#end({ by: 'exit', afterShutdown: this.#shutdown });
    else if (method === '$/setTrace') {
      if (typeof given['value'] === 'string') this.#log.setTrace(given['value']);
    } else if (method !== 'initialized' && !method.startsWith('$/')) {
      this.#logger.debug({ method: method.slice(0, 200) }, 'a notification that is not known was ignored');
    }
  }

  readonly #sendProgress = (token: string | number, value: unknown): Promise<void> =>
    this.#notify('$/progress', { token, value });

  #notify(method: string, params: object): Promise<void> {
    const message: NotificationMessage = { jsonrpc: '2.0', method, params };
    return this.#writer.write(message);
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
    while (this.#reader.ahead && !this.#hasGone() && performance.now() < deadline) await turn();
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

  /** As a call, because the compiler takes a field to be what it was before an await. */
  #hasGone(): boolean {
    return this.#gone;
  }

  /** Answers a frame that is no request, so that its sender is not left waiting. */
  #refuse(fault: FrameFault): void {
    const id = 'id' in fault ? fault.id : null;
    // Not the message: it may quote what the client sent.
    this.#logger.warn({ fault: fault.kind, client: this.#name }, 'a message of the client was refused');
    this.#writer.send({ jsonrpc: '2.0', id, error: frameError(fault) }, () => {
      // Where one frame ends and the next begins is lost with its header: nothing after it can be understood.
      if (fault.kind === 'header') this.#end({ by: 'close' });
    });
  }
}

/** The next turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** The kind of an error for the log, which gets no messages: they may name what the client would keep to itself. */
function kindOf(error: unknown): string | undefined {
  if (error === undefined) return undefined;
  return error instanceof BabelhostError ? error.kind : error instanceof Error ? error.name : 'unknown';
}
