// The log: pino to stderr, pretty on a terminal, JSON otherwise. stdout belongs to the protocol.
import { pino, type Logger, type LoggerOptions } from 'pino';

export type { Logger } from 'pino';

export const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof logLevels)[number];

/** A line of the log as a client may see it: LSP's MessageType (1 error, 2 warning, 3 information, 4 log) and its text. */
export interface LogLine {
  readonly type: 1 | 2 | 3 | 4;
  readonly message: string;
}

/** Hands lines of the log to whoever asks for them, besides writing them: a client may want them as notifications. */
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
  const options: LoggerOptions = {
    level,
    ...(relay !== undefined && {
      hooks: {
        logMethod(args, write, number) {
          const message = args.find((argument): argument is string => typeof argument === 'string');
          if (message !== undefined) relay.pass(number, message);
          write.apply(this, args);
        },
      },
    }),
  };
  if (process.stderr.isTTY && level !== 'silent') {
    // Loaded only on a terminal: it is not needed by an editor or a pipeline, whose start-up it would slow.
    const { default: pretty } = await import('pino-pretty');
    return pino(options, pretty({ destination: 2, sync: true, ignore: 'pid,hostname' }));
  }
  return pino({ ...options, base: null }, pino.destination({ fd: 2, sync: true }));
}

/** A logger that drops everything: the default of the library's parts. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}
