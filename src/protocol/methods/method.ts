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
  readonly params: Params;
  readonly result: Result;
  /** The kinds that this method is known to answer with, besides those that any method may (`shuttingDown`). */
  readonly errors: readonly ErrorKind[];
  /** What streams on `partialResultToken`, where the method takes one. */
  readonly partialResult?: z.ZodType | undefined;
}

/** A method as the table has it: each schema is made when it is first asked for, since a client calls few methods. */
interface Entry<
  Params extends z.ZodObject,
  Result extends z.ZodType,
  PartialResult extends z.ZodType | undefined,
> extends Pick<Method, 'summary' | 'description' | 'errors'> {
  readonly params: () => Params;
  readonly result: () => Result;
  readonly partialResult?: () => PartialResult;
}

/** Keeps the exact types of an entry while checking its shape. */
export function method<
  Params extends z.ZodObject,
  Result extends z.ZodType,
  PartialResult extends z.ZodType | undefined = undefined,
>(entry: Entry<Params, Result, PartialResult>): Method<Params, Result> & { readonly partialResult: PartialResult } {
  const { params, result, partialResult, ...rest } = entry;
  const made = {
    params: lazy(params),
    result: lazy(result),
    partialResult: lazy(partialResult ?? (() => undefined as PartialResult)),
  };
  return {
    ...rest,
    get params() {
      return made.params();
    },
    get result() {
      return made.result();
    },
    get partialResult() {
      return made.partialResult();
    },
  };
}

export interface Notification {
  readonly summary: string;
  readonly params: () => z.ZodType;
  readonly sentBy: 'client' | 'host';
}

/** A token that a client makes up to receive progress or partial results on (LSP 3.17, "Work Done Progress"). */
export const progressToken = lazy(() => z.union([z.string().max(1024), z.int()]));

/** What a request carries besides what it asks: the trace that it belongs to. */
export const meta = lazy(() =>
  z
    .looseObject({
      traceparent: z.string().max(1024).optional(),
      tracestate: z.string().max(8192).optional(),
    })
    .describe('`traceparent` and `tracestate` name the trace that the request belongs to (W3C Trace Context).'),
);

/** Parameters that take progress reports: `$/progress` notifications with this token tell how far the work is. */
export const workDone = lazy(() => ({
  workDoneToken: progressToken().optional().describe('Progress is reported with this token as `$/progress`.'),
  _meta: meta().optional(),
}));

/** A name that drivers, languages and images may be asked for by. */
export const name = lazy(() => z.string().min(1).max(1024));
