// The loggers behind log.ts, as pino makes them. Imports pino.
import { pino, type LoggerOptions } from 'pino';
import type { PinoPretty } from 'pino-pretty';
import type { Logger, LogLevel } from './log.ts';

/** Told of each line that is written: pino's number of its level, and its text. */
export type OnLine = (level: number, message: string) => void;

/** A logger that writes JSON to stderr. */
export function makePino(level: LogLevel, onLine?: OnLine): Logger {
  return pino({ ...optionsOf(level, onLine), base: null }, pino.destination({ fd: 2, sync: true }));
}

/** A logger that writes lines for a person to stderr. */
export function makePrettyPino(level: LogLevel, pretty: typeof PinoPretty, onLine?: OnLine): Logger {
  return pino(optionsOf(level, onLine), pretty({ destination: 2, sync: true, ignore: 'pid,hostname' }));
}

function optionsOf(level: LogLevel, onLine: OnLine | undefined): LoggerOptions {
  return {
    level,
    ...(onLine !== undefined && {
      hooks: {
        logMethod(args, write, number) {
          const message = args.find((argument): argument is string => typeof argument === 'string');
          if (message !== undefined) onLine(number, message);
          write.apply(this, args);
        },
      },
    }),
  };
}
