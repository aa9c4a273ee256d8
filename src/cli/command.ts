// What a command is: how it is called, and its work. Imports types only.
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
  /** Writes a result to stdout: as JSON with --json, else as `text` returns it. */
  readonly print: (result: unknown, text: () => string) => void;
  /** Writes a line to stderr, for a person; does nothing with --json, where stderr carries only errors and warnings. */
  readonly say: (line: string) => void;
  /** Makes the command's own exit status count after a signal, as for a server, which a signal ends properly. */
  readonly answerSignals: () => void;
  /** A session with the host that --connect names, or one started in this process. Closed when the program ends. */
  readonly session: () => Promise<Session>;
}

export interface CommandModule<Options extends object = object> {
  /** Declares arguments and options, if there are any. */
  configure?(command: Command): void;
  /**
   * Does the command's work. Returns the exit status, or undefined where it is done.
   * @throws UsageError for wrong usage that `configure` cannot express
   */
  run(context: Context, args: readonly string[], options: Options): Promise<ExitStatus | undefined>;
}
