// The program: commander's tree made from the table of commands, and one run of it from arguments to exit status.
import { Command, CommanderError } from 'commander';
import { version } from '../base/package.ts';
import type { CommandModule, Context, ExitStatus } from './command.ts';
import { commands, type CommandEntry, type CommandGroup } from './commands.ts';
import { exitStatus, printFailure, printUsage, UsageError } from './failure.ts';
import { declareGlobalOptions, limitsHeading, readGlobalOptions, type GlobalOptions } from './options.ts';
import { Output } from './output.ts';
import type { Session } from './session.ts';
import { watchSignals } from './signals.ts';

/** What the arguments ask for. */
interface Call {
  readonly module: CommandModule;
  readonly args: readonly string[];
  readonly options: object;
}

/**
 * Runs the program.
 * @param args without the program's own name
 * @returns the exit status
 */
export async function run(args: readonly string[]): Promise<number> {
  try {
    const [program, call] = await parse(args);
    if (call === undefined) return exitStatus.done;
    return await perform(readGlobalOptions(program), call);
  } catch (error) {
    // The options may be what is wrong, so that they cannot be asked.
    const json = args.includes('--json');
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return exitStatus.done;
      if (error.code === 'commander.help') return exitStatus.usage;
      printUsage(sentenceOf(error.message), json);
      return exitStatus.usage;
    }
    if (error instanceof UsageError) {
      printUsage(error.message, json);
      return exitStatus.usage;
    }
    printFailure(error, json);
    return exitStatus.failed;
  }
}

/** @throws CommanderError for wrong usage, and also where help or the version was asked for and has been printed */
async function parse(args: readonly string[]): Promise<[Command, Call | undefined]> {
  let call: Call | undefined;
  let helped: readonly string[] | undefined;
  const program = makeProgram({
    called: (made) => {
      call = made;
    },
    asked: (words) => {
      helped = words;
    },
  });
  await program.parseAsync(args, { from: 'user' });
  return helped === undefined ? [program, call] : await parse(helpArguments(helped));
}

/** What prints the help that `help WORDS` asks for, or says that there is no such command. */
function helpArguments(words: readonly string[]): string[] {
  let among: CommandGroup['commands'] | typeof commands | undefined = commands;
  for (const [index, word] of words.entries()) {
    if (among === undefined) throw new UsageError(`'${words.slice(0, index).join(' ')}' has no command '${word}'.`);
    const entry: CommandEntry | CommandGroup | undefined = Object.hasOwn(among, word) ? among[word] : undefined;
    if (entry === undefined) return words.slice(0, index + 1);
    among = 'load' in entry ? undefined : entry.commands;
  }
  return [...words, '--help'];
}

async function perform(global: GlobalOptions, { module, args, options }: Call): Promise<number> {
  const stopping = new AbortController();
  const signals = watchSignals(stopping);
  const output = new Output(process.stdout, () => {
    stopping.abort();
  });
  let session: Promise<Session> | undefined;
  const context: Context = {
    global,
    signal: stopping.signal,
    output,
    print: (result, text) => {
      if (global.json) output.json(result);
      else output.write(text());
    },
    say: (line) => {
      if (!global.json) process.stderr.write(`${line}\n`);
    },
    answerSignals: () => {
      signals.answered();
    },
    session: () => (session ??= import('./session.ts').then(({ openSession }) => openSession(global))),
  };
  let status: ExitStatus = exitStatus.failed;
  try {
    status = (await module.run(context, args, options)) ?? exitStatus.done;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    // A reader that left, and a user who interrupted, need no message.
    if (output.closed) status = exitStatus.done;
    else if (signals.received === undefined) printFailure(error, global.json);
  } finally {
    await (await session?.catch(() => undefined))?.[Symbol.asyncDispose]();
    // After an interrupt nobody waits for a reader; a file gets whole lines.
    if (signals.received === undefined || output.isFile) await output.flush();
  }
  signals.raise();
  return status;
}

/** What is told of the arguments. */
interface Listener {
  readonly called: (call: Call) => void;
  /** Help was asked for a command, by its words. */
  readonly asked: (words: readonly string[]) => void;
}

function makeProgram(listener: Listener): Command {
  const program = new Command('babelhost')
    .description('A host for language drivers: parsers in isolated containers, spoken to over JSON-RPC.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .usage('[options] <command>')
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .configureHelp({
      showGlobalOptions: true,
      // The limits would drown a command's own options; the program's own help has them.
      visibleGlobalOptions: (command) => {
        const inherited = [];
        for (let parent = command.parent; parent !== null; parent = parent.parent) inherited.push(...parent.options);
        return inherited.filter((option) => option.helpGroupHeading !== limitsHeading && option.long !== '--version');
      },
    });
  declareGlobalOptions(program);
  for (const [word, entry] of Object.entries(commands)) {
    if ('load' in entry) addCommand(program, word, entry, listener);
    else addGroup(program, word, entry, listener);
  }
  addHelp(program, [], listener);
  program.addHelpText('after', `\n${exitStatusHelp}`);
  return program;
}

const exitStatusHelp = 'Exit status: 0 done, 1 it failed, 2 wrong usage.';

function addGroup(program: Command, word: string, group: CommandGroup, listener: Listener): void {
  const parent = program.command(word).description(group.summary).usage('<command>');
  for (const [name, entry] of Object.entries(group.commands)) addCommand(parent, name, entry, listener);
  addHelp(parent, [word], listener);
}

/** Commander's own prints the help of one word only, and before the command's options are declared. */
function addHelp(parent: Command, before: readonly string[], { asked }: Listener): void {
  parent
    .helpCommand(false)
    .command('help')
    .argument('[command...]')
    .description('print help for a command')
    .action((words: string[]) => {
      asked([...before, ...words]);
    });
}

/** A command without arguments or options: those are declared when it is called, by the file that has it. */
function addCommand(parent: Command, word: string, entry: CommandEntry, { called }: Listener): void {
  const command = parent.command(word).description(entry.summary);
  parent.hook('preSubcommand', async (_parent, subcommand) => {
    if (subcommand !== command) return;
    const module = await entry.load();
    module.configure?.(command);
    command.addHelpText('after', "\n'babelhost --help' lists the limits, which every command takes too.");
    command.action(() => {
      called({ module, args: command.args, options: command.opts() });
    });
  });
}

/** Commander's `error: …`, on one line or two, as a sentence. */
function sentenceOf(message: string): string {
  const text = message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ');
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/([^.)?!])$/, '$1.');
}
