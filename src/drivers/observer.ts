// The types of metrics and traces, both of which are off unless asked for: the rooms that do the work know no more of them.

/** Observes each parse and each detection of a language; must not throw. */
export interface ParseObserver {
  parsed(parse: ObservedParse): void;
  /** @param language undefined where none was found */
  detected(language: string | undefined, milliseconds: number): void;
}

/** Observes installations and removals. */
export interface DriverObserver {
  installed(language: string, image: string): void;
  removed(language: string, image: string): void;
}

export interface ObservedParse {
  /** The driver's language; undefined where no driver was found: a client may ask for anything. */
  readonly language: string | undefined;
  /** The digest of the driver's image. */
  readonly image: string | undefined;
  readonly milliseconds: number;
  /** Of the source; only where it was parsed. */
  readonly contentBytes?: number;
  /** A source with syntax errors has not failed. */
  readonly failed: boolean;
}

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** A piece of work in a trace. Carries ids and sizes, never source text. */
export interface TraceSpan {
  child(name: string, attributes?: SpanAttributes): TraceSpan;
  annotate(attributes: SpanAttributes): void;
  /** @param error why the work failed, where it did: its kind goes into the trace, its message does not */
  end(error?: unknown): void;
}

/** The trace that a request belongs to (W3C Trace Context). */
export interface TraceContext {
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
}

export interface Tracer {
  /** Begins the span of a request. */
  start(method: string, context: TraceContext | undefined): TraceSpan;
  /** Sends the spans that are left. */
  close(): Promise<void>;
}
