// The table of commands: their words, a line on each, and the file that does it. One more command is one more line here
// and one more file. Files are loaded when called: starting must cost nothing for what is not used.
import type { CommandModule } from './command.ts';

export interface CommandEntry {
  /** One line for the list of commands. */
  readonly summary: string;
  readonly load: () => Promise<{ readonly default: CommandModule }>;
}

/** A group of commands under one word, such as `driver`. */
export interface CommandGroup {
  readonly summary: string;
  readonly commands: Readonly<Record<string, CommandEntry>>;
}

export const commands: Readonly<Record<string, CommandEntry | CommandGroup>> = {
  serve: { summary: 'answer requests over stdio or a socket', load: () => import('./commands/serve.ts') },
  parse: { summary: 'parse files and folders', load: () => import('./commands/parse.ts') },
  driver: {
    summary: 'install and manage language drivers',
    commands: {
      install: { summary: 'install driver images', load: () => import('./commands/driver-install.ts') },
      list: { summary: 'list the installed drivers', load: () => import('./commands/driver-list.ts') },
      inspect: { summary: 'show all of one driver', load: () => import('./commands/driver-inspect.ts') },
      remove: { summary: 'remove drivers', load: () => import('./commands/driver-remove.ts') },
    },
  },
  image: {
    summary: 'build, fetch, send and look at images',
    commands: {
      build: { summary: 'make an image from a recipe folder', load: () => import('./commands/image-build.ts') },
      pull: { summary: 'bring images into the store', load: () => import('./commands/image-pull.ts') },
      push: { summary: 'send an image of the store to a registry', load: () => import('./commands/image-push.ts') },
      list: { summary: 'list the images in the store', load: () => import('./commands/image-list.ts') },
      inspect: { summary: 'show all of one image', load: () => import('./commands/image-inspect.ts') },
      remove: { summary: 'remove images from the store', load: () => import('./commands/image-remove.ts') },
      prune: { summary: 'remove what nothing refers to', load: () => import('./commands/image-prune.ts') },
    },
  },
  container: {
    summary: 'look at containers, and run commands in them',
    commands: {
      list: { summary: 'list the containers', load: () => import('./commands/container-list.ts') },
      inspect: { summary: 'show all of one container', load: () => import('./commands/container-inspect.ts') },
      exec: { summary: 'run a command in a running container', load: () => import('./commands/container-exec.ts') },
      logs: { summary: 'print what a container wrote last', load: () => import('./commands/container-logs.ts') },
      kill: { summary: 'send a signal to a container', load: () => import('./commands/container-kill.ts') },
      destroy: { summary: 'remove stopped containers', load: () => import('./commands/container-destroy.ts') },
    },
  },
  status: { summary: 'show the host and its pools', load: () => import('./commands/status.ts') },
  instances: { summary: 'list or end the running drivers', load: () => import('./commands/instances.ts') },
  doctor: {
    summary: 'tell what this machine can do, and how to mend what it cannot',
    load: () => import('./commands/doctor.ts'),
  },
};
