// The log: pino to stderr, pretty on a terminal, JSON otherwise. stdout belongs to the protocol.
import { pino, type Logger } from 'pino';

export type { Logger } from 'pino';

export const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * A logger that writes to stderr (file descriptor 2), synchronously: a log line must be out before a crash is.
 * Never logs source text: callers pass ids, sizes and names only.
 */
export async function createLogger(level: LogLevel): Promise<Logger> {
  if (process.stderr.isTTY && level !== 'silent') {
    // Loaded only on a terminal: it is not needed by an editor or a pipeline, whose start-up it would slow.
    const { default: pretty } = await import('pino-pretty');
    return pino({ level }, pretty({ destination: 2, sync: true, ignore: 'pid,hostname' }));
  }
  return pino({ level, base: null }, pino.destination({ fd: 2, sync: true }));
}

/** A logger that drops everything: the default of the library's parts. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}
