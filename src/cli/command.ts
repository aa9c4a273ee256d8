// What a command is: a file in commands/ that says how it is called and does it. program.ts loads the file when the
// command is called and not before. Imports types only.
import type { Command } from 'commander';
import type { GlobalOptions } from './options.ts';
import type { Output } from './output.ts';
import type { Session } from './session.ts';

/** How the program ends: 0 done, 1 it failed. (2, wrong usage, is thrown as a UsageError.) */
export type ExitStatus = 0 | 1;

/** What a command works with. */
export interface Context {
  readonly global: GlobalOptions;
  /** Aborted when the user interrupts, or when nobody reads stdout any more. */
  readonly signal: AbortSignal;
  /** stdout: results. */
  readonly output: Output;
  /** A line on stderr, for a person: left out with --json, where stderr carries only errors. */
  readonly say: (line: string) => void;
  /** For a command that a signal ends properly, as it does a server: its own exit status then counts. */
  readonly answerSignals: () => void;
  /** A session with a host: the one that --connect names, or one started in this process. Closed when the program ends. */
  readonly session: () => Promise<Session>;
}

export interface CommandModule<Options extends object = object> {
  /** Declares arguments and options. */
  configure(command: Command): void;
  /** Does it. Wrong usage that `configure` cannot express is thrown as a UsageError. */
  run(context: Context, args: readonly string[], options: Options): Promise<ExitStatus>;
}

/** Ties a command's options to their type. */
export function command<Options extends object>(module: CommandModule<Options>): CommandModule<Options> {
  return module;
}
