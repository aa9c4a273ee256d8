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

/** What JSON leaves as it is, and a terminal obeys: DEL, C1 controls, and the marks that reverse the direction of text. */
const unsafe = /[\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A logger that writes lines for a person to stderr. Its lines may quote drivers: nothing in them moves the terminal. */
export function makePrettyPino(level: LogLevel, pretty: typeof PinoPretty, onLine?: OnLine): Logger {
  const { hooks, ...options } = optionsOf(level, onLine);
  const streamWrite = (line: string) =>
    line.replaceAll(unsafe, (character) => `\\\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return pino(
    { ...options, hooks: { ...hooks, streamWrite } },
    pretty({ destination: 2, sync: true, ignore: 'pid,hostname' }),
  );
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
