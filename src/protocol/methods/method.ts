// What a method is: a name in a table with the schemas of its parameters and its result. From one such entry come the
// types of server and client, the checks at run time and the method's part of the OpenRPC document. Imports zod only.
import { z } from 'zod';
import { lazy } from '../../base/lazy.ts';
import type { ErrorKind } from '../../base/errors.ts';

export interface Method<Params extends z.ZodObject = z.ZodObject, Result extends z.ZodType = z.ZodType> {
  /** One line: what it does. */
  readonly summary: string;
  /** More, where the line is not enough. Markdown. */
  readonly description?: string;
  readonly params: () => Params;
  readonly result: () => Result;
  /** The kinds that this method is known to answer with, besides those that any method may (`shuttingDown`). */
  readonly errors: readonly ErrorKind[];
  /** What streams on `partialResultToken`, where the method takes one. */
  readonly partialResult?: () => z.ZodType;
}

/**
 * Keeps the exact types of an entry. Parameters' schemas are made once, at the method's first call: those of all methods
 * would take 10 ms of each start.
 */
export function method<Params extends z.ZodObject, Result extends z.ZodType>(
  entry: Method<Params, Result>,
): Method<Params, Result> {
  return { ...entry, params: lazy(entry.params) };
}

export interface Notification {
  readonly summary: string;
  readonly params: () => z.ZodType;
  readonly sentBy: 'client' | 'host';
}

/** A token that a client makes up to receive progress or partial results on (LSP 3.17, "Work Done Progress"). */
export const progressToken = () => z.union([z.string().max(1024), z.int()]);

/** What a request carries besides what it asks: the trace that it belongs to. */
export const meta = () =>
  z
    .looseObject({
      traceparent: z.string().max(1024).optional(),
      tracestate: z.string().max(8192).optional(),
    })
    .describe('`traceparent` and `tracestate` name the trace that the request belongs to (W3C Trace Context).');

/** Parameters that take progress reports: `$/progress` notifications with this token tell how far the work is. */
export const workDone = () => ({
  workDoneToken: progressToken().optional().describe('Progress is reported with this token as `$/progress`.'),
  _meta: meta().optional(),
});

/** A name that drivers, languages and images may be asked for by. */
export const name = () => z.string().min(1).max(1024);
