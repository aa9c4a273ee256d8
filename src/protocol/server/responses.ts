// How errors become JSON-RPC error objects, each with a code, a kind, a sentence and data.
import { ErrorCodes, ResponseError } from 'vscode-jsonrpc/node';
import type { z } from 'zod';
import { CancelledError } from '../../drivers/request.ts';
import { BabelhostError, isBabelhostError } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { FrameFault } from '../framing/framing.ts';

/** LSP 3.17, "Error codes": the client cancelled the request. */
export const requestCancelled = -32800;

export interface ErrorObject {
  readonly code: number;
  readonly message: string;
  readonly data: { readonly kind: string };
}

/** The error object of a BabelhostError, as an answer or inside a result. */
export function errorObject(error: BabelhostError): ErrorObject {
  return { code: error.code, message: error.message, data: { kind: error.kind, ...error.data } };
}

/** The answer to a request that failed. An unexpected error is logged whole; the client gets no detail of it. */
export function responseError(error: unknown, logger: Logger): ResponseError<unknown> {
  if (error instanceof ResponseError) return error;
  if (isBabelhostError(error)) {
    const { code, message, data } = errorObject(error);
    return new ResponseError(code, message, data);
  }
  if (error instanceof CancelledError) {
    return new ResponseError(requestCancelled, error.message, { kind: 'requestCancelled' });
  }
  logger.error({ err: error }, 'a request failed in a way that was not foreseen');
  return new ResponseError(
    ErrorCodes.InternalError,
    'babelhost failed on this request in a way that was not foreseen; its log on stderr tells more. Please report it.',
    { kind: 'internalError' },
  );
}

/** The answer to parameters that the method's schema refuses. */
export function invalidParams(method: string, error: z.ZodError): ResponseError<unknown> {
  const issues = error.issues.slice(0, 20).map((issue) => ({ path: issue.path.join('.'), message: issue.message }));
  const sentence = issues.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
  return new ResponseError(ErrorCodes.InvalidParams, `Wrong parameters for ${method}: ${sentence}.`, {
    kind: 'invalidParams',
    issues,
  });
}

/** The answer to a frame that is no request. */
export function frameError(fault: FrameFault): ErrorObject {
  switch (fault.kind) {
    case 'tooLarge':
      return errorObject(
        new BabelhostError(
          'contentTooLarge',
          `The message has ${fault.length} bytes, more than the limit of ${fault.limit}; send a uri in place of the content, or raise the limit (--max-message-bytes).`,
          { contentBytes: fault.length, limitBytes: fault.limit },
        ),
      );
    case 'invalid':
      return { code: ErrorCodes.InvalidRequest, message: fault.message, data: { kind: 'invalidRequest' } };
    case 'header':
    case 'truncated':
    case 'syntax':
      return { code: ErrorCodes.ParseError, message: fault.message, data: { kind: 'parseError' } };
  }
}

/** The kind of an error for the log. Its message may quote the client's data. */
export function kindOf(error: unknown): string | undefined {
  if (error === undefined) return undefined;
  return error instanceof BabelhostError ? error.kind : error instanceof Error ? error.name : 'unknown';
}
