// The log: pino to stderr, pretty on a terminal, JSON otherwise. stdout belongs to the protocol.
import { isatty } from 'node:tty';
import { pino, type Logger as PinoLogger, type LoggerOptions } from 'pino';

export const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof logLevels)[number];

/** The part of pino's loggers that is used here. */
export interface Logger extends Readonly<Pick<PinoLogger, Exclude<LogLevel, 'silent'>>> {
  /** A logger whose lines also have these members. */
  child(bindings: Record<string, unknown>): Logger;
}

/** A line of the log as a client may see it: LSP's MessageType (1 error, 2 warning, 3 information, 4 log) and its text. */
export interface LogLine {
  readonly type: 1 | 2 | 3 | 4;
  readonly message: string;
}

/** Passes lines of the log to subscribers too: clients may want them as notifications. */
export class LogRelay {
  readonly #listeners = new Set<(line: LogLine) => void>();

  /** @returns a function that ends the subscription */
  subscribe(listener: (line: LogLine) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  pass(level: number, message: string): void {
    const type = level >= 50 ? 1 : level >= 40 ? 2 : level >= 30 ? 3 : 4;
    for (const listener of this.#listeners) listener({ type, message });
  }
}

/**
 * A logger that writes to stderr (file descriptor 2), synchronously: a log line must be out before a crash is.
 * Never logs source text: callers pass ids, sizes and names only.
 */
export async function createLogger(level: LogLevel, relay?: LogRelay): Promise<Logger> {
  const pretty = isatty(2) && level !== 'silent' ? (await import('pino-pretty')).default : undefined;
  const hooks: LoggerOptions['hooks'] = {
    logMethod(args, write, number) {
      const message = args.find((argument): argument is string => typeof argument === 'string');
      if (message !== undefined) relay?.pass(number, message);
      write.apply(this, args);
    },
    ...(pretty !== undefined && { streamWrite: escapeUnsafe }),
  };
  const stream =
    pretty === undefined ? pino.destination({ fd: 2, sync: true }) : pretty({ destination: 2, sync: true });
  const logger: Logger = pino({ level, base: null, hooks }, stream);
  return logger;
}

/** A logger that drops everything. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' }, { write: () => undefined });
}

/** Characters that JSON does not escape and a terminal obeys: DEL, C1 controls, and marks of text direction. */
const unsafe = /[\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Escapes them in a line of JSON, which may quote drivers. */
function escapeUnsafe(line: string): string {
  return line.replaceAll(unsafe, (character) => `\\\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
