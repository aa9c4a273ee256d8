// What may look on while sources are parsed: metrics and traces. Both are off unless asked for, and then cost nothing: the
// rooms that do the work know these types only.

/** Told of each parse and each detection of a language; must not throw. */
export interface ParseObserver {
  parsed(parse: ObservedParse): void;
  /** @param language undefined where none was found */
  detected(language: string | undefined, milliseconds: number): void;
}

/** Told of drivers that come and go. */
export interface DriverObserver {
  installed(language: string, image: string): void;
  removed(language: string, image: string): void;
}

export interface ObservedParse {
  /** The driver's language; undefined where it did not come to a driver: what a client asks for is anything. */
  readonly language: string | undefined;
  /** The digest of the driver's image. */
  readonly image: string | undefined;
  readonly milliseconds: number;
  /** Of the source, where it was parsed. */
  readonly contentBytes?: number;
  /** Whether it failed: a source with faults of its own does not. */
  readonly failed: boolean;
}

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** A piece of work in a trace. Carries ids and sizes, never source text. */
export interface TraceSpan {
  child(name: string, attributes?: SpanAttributes): TraceSpan;
  annotate(attributes: SpanAttributes): void;
  /** @param error why the work failed, where it did: its kind is told, its message is not */
  end(error?: unknown): void;
}

/** What a request says of the trace that it belongs to (W3C Trace Context). */
export interface TraceContext {
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
}

export interface Tracer {
  /** Begins the span of a request. */
  start(method: string, context: TraceContext | undefined): TraceSpan;
  /** Sends what has not been sent yet. */
  close(): Promise<void>;
}
