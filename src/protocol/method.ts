// What a method is: a name in a table with the schemas of its parameters and its result. From one such entry come the
// types of server and client, the checks at run time and the method's part of the OpenRPC document. Imports zod only.
import { z } from 'zod';
import type { ErrorKind } from '../errors.ts';

export interface Method<Params extends z.ZodObject = z.ZodObject, Result extends z.ZodType = z.ZodType> {
  /** One line: what it does. */
  readonly summary: string;
  /** More, where the line is not enough. Markdown. */
  readonly description?: string;
  readonly params: Params;
  readonly result: Result;
  /** The kinds that this method is known to answer with, besides those that any method may (`shuttingDown`). */
  readonly errors: readonly ErrorKind[];
  /** What streams on `partialResultToken`, where the method takes one. */
  readonly partialResult?: z.ZodType;
}

/**
 * Keeps the exact types of an entry while checking its shape. The entry is made when something of it is first asked for:
 * the schemas of all methods take longer to make than the rest of a host takes to start, and a client calls few of them.
 */
export function method<const Entry extends Method>(make: () => Entry): Entry {
  let made: Entry | undefined;
  const entry = (): Entry => (made ??= make());
  const lazy: Method = {
    get summary() {
      return entry().summary;
    },
    get params() {
      return entry().params;
    },
    get result() {
      return entry().result;
    },
    get errors() {
      return entry().errors;
    },
    // Optional ones are asked for by those who write documents, and are then undefined where there are none.
    get description() {
      return entry().description as string;
    },
    get partialResult() {
      return entry().partialResult as z.ZodType;
    },
  };
  return lazy as Entry;
}

export interface Notification {
  readonly summary: string;
  readonly params: z.ZodType;
  readonly sentBy: 'client' | 'host';
}

/** A token that a client makes up to receive progress or partial results on (LSP 3.17, "Work Done Progress"). */
export const progressToken = z.union([z.string().max(1024), z.int()]);

/** What a request carries besides what it asks: the trace that it belongs to. */
export const meta = z
  .looseObject({
    traceparent: z.string().max(1024).optional(),
    tracestate: z.string().max(8192).optional(),
  })
  .describe('`traceparent` and `tracestate` name the trace that the request belongs to (W3C Trace Context).');

/** Parameters that take progress reports: `$/progress` notifications with this token tell how far the work is. */
export const workDone = {
  workDoneToken: progressToken.optional().describe('Progress is reported with this token as `$/progress`.'),
  _meta: meta.optional(),
};

/** A name that drivers, languages and images may be asked for by. */
export const name = z.string().min(1).max(1024);
