// The library's face: what a program that embeds babelhost imports.
export { BabelhostError, errorCodes, isBabelhostError, type ErrorData, type ErrorKind } from './errors.ts';
export { defaultRoot, Host, type HostOptions, type ServeOptions } from './host.ts';
export { createLogger, LogRelay, logLevels, type Logger, type LogLevel } from './log.ts';
export { Client, type RequestOptions, type WorkDoneProgress } from './protocol/client.ts';
export type { FileResult, MethodName, Params, Result } from './protocol/methods.ts';
export { version } from './version.ts';
