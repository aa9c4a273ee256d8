// The table of commands: their words, a line on each, and the file that has them. Files are loaded when called: starting
// must cost nothing for what is not used.
import type { CommandModule } from './command.ts';

export interface CommandEntry {
  /** One line for the list of commands. */
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

/** A group of commands under one word, such as `driver`. */
export interface CommandGroup {
  readonly summary: string;
  readonly commands: Readonly<Record<string, CommandEntry>>;
}

function command(summary: string, load: () => Promise<{ readonly default: CommandModule }>): CommandEntry {
  return { summary, load: async () => (await load()).default };
}

/** @param load the file that exports each command under its word */
function group<Word extends string>(
  summary: string,
  load: () => Promise<Readonly<Record<Word, CommandModule>>>,
  summaries: Readonly<Record<Word, string>>,
): CommandGroup {
  const words = Object.keys(summaries) as Word[];
  const entry = (word: Word): CommandEntry => ({ summary: summaries[word], load: async () => (await load())[word] });
  return { summary, commands: Object.fromEntries(words.map((word) => [word, entry(word)])) };
}

export const commands: Readonly<Record<string, CommandEntry | CommandGroup>> = {
  serve: command('answer requests over stdio or a socket', () => import('./commands/serve.ts')),
  parse: command('parse files and folders', () => import('./commands/parse.ts')),
  driver: group('install and manage language drivers', () => import('./commands/driver.ts'), {
    install: 'install driver images',
    list: 'list the installed drivers',
    inspect: 'show all of one driver',
    remove: 'remove drivers',
  }),
  image: group('build, fetch, send and look at images', () => import('./commands/image.ts'), {
    build: 'make an image from a recipe folder',
    pull: 'bring images into the store',
    push: 'send an image of the store to a registry',
    list: 'list the images in the store',
    inspect: 'show all of one image',
    remove: 'remove images from the store',
    prune: 'remove what nothing refers to',
  }),
  container: group('look at containers, and run commands in them', () => import('./commands/container.ts'), {
    list: 'list the containers',
    inspect: 'show all of one container',
    exec: 'run a command in a running container',
    logs: 'print what a container wrote last',
    kill: 'send a signal to a container',
    destroy: 'remove stopped containers',
  }),
  status: command('show the host and its pools', () => import('./commands/status.ts')),
  instances: command('list or end the running drivers', () => import('./commands/instances.ts')),
  doctor: command(
    'tell what this machine can do, and how to mend what it cannot',
    () => import('./commands/doctor.ts'),
  ),
};
