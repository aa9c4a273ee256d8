// Spans for OpenTelemetry, sent by OTLP over HTTP to where the standard variables of the environment say
// (OTEL_EXPORTER_OTLP_ENDPOINT and those beside it, which the exporter itself reads). Loaded only where they are set.
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Tracer as ApiTracer,
} from '@opentelemetry/api';
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { SpanAttributes, TraceContext, Tracer, TraceSpan } from '../drivers/observer.ts';
import { isBabelhostError } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { version } from '../base/package.ts';

/** How long a host that ends waits for its last spans to be sent, in milliseconds. */
const lastSpansMs = 2000;

const propagator = new W3CTraceContextPropagator();

export class OpenTelemetryTracer implements Tracer {
  readonly #provider: TracerProvider;
  readonly #tracer: ApiTracer;

  constructor(logger: Logger) {
    setGlobalErrorHandler((error) => {
      logger.warn({ reason: typeof error === 'string' ? error : error.message }, 'spans could not be sent');
    });
    this.#provider = new TracerProvider({
      resource: defaultResource()
        .merge(resourceFromAttributes({ 'service.name': 'babelhost', 'service.version': version }))
        .merge(detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] })),
      // Drops spans where they come faster than they are sent.
      spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
    });
    this.#tracer = this.#provider.getTracer('babelhost', version);
  }

  start(method: string, context: TraceContext | undefined): TraceSpan {
    // W3C Trace Context, section 3.2.2: a traceparent that cannot be parsed is ignored.
    const parent =
      context === undefined
        ? ROOT_CONTEXT
        : propagator.extract(ROOT_CONTEXT, context, {
            get: (carrier: TraceContext, key) =>
              key === 'traceparent' || key === 'tracestate' ? carrier[key] : undefined,
            keys: () => ['traceparent', 'tracestate'],
          });
    const attributes = { 'rpc.system.name': 'jsonrpc', 'rpc.method': method };
    return new OpenTelemetrySpan(this.#tracer, parent, method, attributes, SpanKind.SERVER);
  }

  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([
      this.#provider.shutdown().catch(() => undefined),
      new Promise((resolve) => {
        timer = setTimeout(resolve, lastSpansMs);
      }),
    ]);
    clearTimeout(timer);
  }
}

class OpenTelemetrySpan implements TraceSpan {
  readonly #tracer: ApiTracer;
  readonly #context: Context;
  readonly #span;

  constructor(tracer: ApiTracer, parent: Context, name: string, attributes: SpanAttributes, kind: SpanKind) {
    this.#tracer = tracer;
    this.#span = tracer.startSpan(name, { attributes, kind }, parent);
    this.#context = trace.setSpan(parent, this.#span);
  }

  child(name: string, attributes: SpanAttributes = {}): TraceSpan {
    return new OpenTelemetrySpan(this.#tracer, this.#context, name, attributes, SpanKind.INTERNAL);
  }

  annotate(attributes: SpanAttributes): void {
    this.#span.setAttributes(attributes);
  }

  end(error?: unknown): void {
    if (error !== undefined) {
      this.#span.setAttribute('error.type', errorType(error));
      this.#span.setStatus({ code: SpanStatusCode.ERROR });
    }
    this.#span.end();
  }
}

/** Without the message, which may name files or quote a source. */
function errorType(error: unknown): string {
  if (isBabelhostError(error)) return error.kind;
  return error instanceof Error ? error.name : 'unknown';
}
