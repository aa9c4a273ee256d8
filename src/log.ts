// The log: pino to stderr, pretty on a terminal, JSON otherwise. stdout belongs to the protocol. pino is loaded and made
// when there is a line to write, or soon: most hosts have none before their first answer, and it is a twentieth of their
// start.
import { isatty } from 'node:tty';
import type { Logger as PinoLogger } from 'pino';
import { onFirstUse } from './on-first-use.ts';
import { makePino, makePrettyPino } from './pino-log.ts';

export const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof logLevels)[number];
type Writing = Exclude<LogLevel, 'silent'>;

/** When pino is loaded without a line to write: when there is one, there may be no file descriptor left to load it with. */
const loadAfterMs = 100;

/** What this program uses of pino's loggers; any of those is one. */
export interface Logger extends Readonly<Pick<PinoLogger, Writing>> {
  /** A logger whose lines have these members, too. */
  child(bindings: Record<string, unknown>): Logger;
}

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
  const pass =
    relay &&
    ((number: number, message: string) => {
      relay.pass(number, message);
    });
  // Loaded only on a terminal: it is not needed by an editor or a pipeline, whose start-up it would slow.
  const pretty = isatty(2) && level !== 'silent' ? (await import('pino-pretty')).default : undefined;
  const make = onFirstUse(() => (pretty === undefined ? makePino(level, pass) : makePrettyPino(level, pretty, pass)));
  setTimeout(make, loadAfterMs).unref();
  return deferred(level, make);
}

/** A logger that drops everything: the default of the library's parts. */
export function silentLogger(): Logger {
  return deferred('silent', () => makePino('silent'));
}

/** A logger that is made when the first line is to be written. What its level leaves out makes none. */
function deferred(level: LogLevel, make: () => Logger): Logger {
  const logger = onFirstUse(make);
  const writing = (of: Writing): Logger[Writing] =>
    level === 'silent' || logLevels.indexOf(of) > logLevels.indexOf(level)
      ? () => undefined
      : (...args: Parameters<Logger[Writing]>) => {
          logger()[of](...args);
        };
  return {
    fatal: writing('fatal'),
    error: writing('error'),
    warn: writing('warn'),
    info: writing('info'),
    debug: writing('debug'),
    trace: writing('trace'),
    child: (bindings) => deferred(level, () => logger().child(bindings)),
  };
}
