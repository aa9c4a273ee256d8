// How a failure is reported: a sentence on stderr with its kind, or all of it as JSON, and the exit status.
import { BabelhostError, errorCodes, messageOf } from '../base/errors.ts';
import { harmless, harmlessJson, onOneLine, styleFor } from './text.ts';

/** Exit statuses of every command. */
export const exitStatus = { done: 0, failed: 1, usage: 2 } as const;

/** The command was called wrongly: exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** An error as `--json` prints it: the object that the protocol would have sent. */
export interface ErrorObject {
  readonly code: number;
  readonly message: string;
  readonly data: { readonly kind: string } & Readonly<Record<string, unknown>>;
}

/** JSON-RPC 2.0, section 5.1, "Internal error": for what was not foreseen. */
const internalError = -32603;

/** The error object of whatever was thrown. */
export function errorObject(error: unknown): ErrorObject {
  if (error instanceof BabelhostError) {
    return { code: error.code, message: error.message, data: { kind: error.kind, ...error.data } };
  }
  // ResponseError of vscode-jsonrpc, recognised by its shape: loading its module for this would slow every start.
  const { code, data } = error as { code?: unknown; data?: unknown };
  const message = messageOf(error);
  if (typeof code !== 'number') return { code: internalError, message, data: { kind: 'internalError' } };
  const kind = typeof data === 'object' && data !== null && 'kind' in data ? String(data.kind) : kindOf(code);
  return { code, message, data: { ...(typeof data === 'object' ? data : {}), kind } };
}

/** Prints a failure on stderr. */
export function printFailure(error: unknown, json: boolean): void {
  const failure = errorObject(error);
  const { kind } = failure.data;
  print(failure, Object.hasOwn(errorCodes, kind) ? ` ${styleFor(process.stderr)('dim', `(${kind})`)}` : '', json);
  if (json || kind !== 'internalError' || process.env['DEBUG'] === undefined) return;
  if (error instanceof Error && error.stack !== undefined) process.stderr.write(`${harmless(error.stack)}\n`);
}

/** Prints what is wrong with how the program was called. */
export function printUsage(message: string, json: boolean): void {
  print({ code: -32602, message, data: { kind: 'usage' } }, '', json);
}

/** Prints on stderr what was left out while the rest went on. */
export function printWarning(warning: { readonly uri: string; readonly message: string }, json: boolean): void {
  const label = styleFor(process.stderr)('yellow', 'babelhost: warning:');
  process.stderr.write(json ? `${harmlessJson({ warning })}\n` : `${label} ${onOneLine(warning.message)}\n`);
}

function print(failure: ErrorObject, label: string, json: boolean): void {
  const name = styleFor(process.stderr)('red', 'babelhost:');
  process.stderr.write(
    json ? `${harmlessJson({ error: failure })}\n` : `${name} ${onOneLine(failure.message)}${label}\n`,
  );
}

/** The errors of vscode-jsonrpc's own (its ErrorCodes) that a command can meet. */
function kindOf(code: number): string {
  switch (code) {
    case -32800:
      return 'requestCancelled';
    case -32097: // PendingResponseRejected
    case -32099: // MessageWriteError
      return 'connectionLost';
    case -32601:
      return 'methodNotFound';
    case -32602:
      return 'invalidParams';
    default:
      return 'internalError';
  }
}
