// The kinds of errors that clients get, their codes, and their class. Imports nothing.

/**
 * Each kind with its JSON-RPC code, which never changes. JSON-RPC 2.0 (section 5.1) reserves -32768 to -32000, where LSP's own
 * codes are too.
 */
export const errorCodes = {
  driverNotInstalled: 1001,
  driverAlreadyInstalled: 1002,
  driverMalformed: 1003,
  driverCrashed: 1004,
  driverFailed: 1005,
  driverProtocol: 1006,
  imageNotFound: 1101,
  imageUnauthorized: 1102,
  imageInvalid: 1103,
  digestMismatch: 1104,
  storageDirty: 1201,
  storageFull: 1202,
  languageNotDetected: 1301,
  invalidEncoding: 1302,
  modeNotSupported: 1303,
  contentTooLarge: 1304,
  responseTooLarge: 1305,
  timeout: 1401,
  overloaded: 1402,
  quarantined: 1403,
  containerFailed: 1501,
  runtimeMissing: 1502,
  conflict: 1503,
  notFound: 1504,
  shuttingDown: 1601,
} as const;

export type ErrorKind = keyof typeof errorCodes;

/** For programs to act on. Sizes in bytes, times in milliseconds, named so. */
export type ErrorData = Readonly<Record<string, unknown>>;

/**
 * An error for clients. The message is a sentence for a person that says what happened and what to do; data repeats its
 * figures and names for a program.
 */
export class BabelhostError extends Error {
  override readonly name = 'BabelhostError';
  readonly kind: ErrorKind;
  readonly data: ErrorData;

  constructor(kind: ErrorKind, message: string, data: ErrorData = {}, options?: ErrorOptions) {
    super(message, options);
    this.kind = kind;
    this.data = data;
  }

  /** The JSON-RPC code of this error's kind. */
  get code(): number {
    return errorCodes[this.kind];
  }
}

/** Whether `error` is a BabelhostError, of one of `kinds` where any are named. */
export function isBabelhostError(error: unknown, ...kinds: readonly ErrorKind[]): error is BabelhostError {
  return error instanceof BabelhostError && (kinds.length === 0 || kinds.includes(error.kind));
}

/** The `code` of a Node system error ('ENOENT', 'ENOSPC', …), or undefined for anything else. */
export function systemErrorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
