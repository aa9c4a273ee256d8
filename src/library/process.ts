// What a container of the library's runtime is configured by: the image's words and the process's, put together by a
// factory that can be replaced.
import type { Readable, Writable } from 'node:stream';
import type { ContainerOptions, Limits } from '../container/index.ts';
import { BabelhostError } from '../base/errors.ts';
import { environmentOf, type ImageConfig } from '../images/index.ts';

/** What to execute in a container. What is left out is as the image has it. */
export interface Process {
  readonly args?: readonly string[];
  /** Added to the image's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** `user`, `uid`, `user:group`, `uid:gid` …, as the image knows them. */
  readonly user?: string;
  /** An absolute path in the container. */
  readonly cwd?: string;
  /** Where it reads from and writes to; without them, the container's own streams are there to be used. */
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  readonly limits?: Partial<Limits>;
}

/** How a container is configured: everything of it that is not the same for all. */
export type ContainerConfig = Pick<ContainerOptions, 'process' | 'limits' | 'hostname'>;

/** Makes a container's configuration of what the image says and what the process asks for. */
export type ConfigFactory = (image: ImageConfig, process: Process) => ContainerConfig;

/**
 * The configuration factory of a Runtime that is given none: the process's words before the image's, Docker's rules for
 * entry point and command, and the limits of the container room.
 * @throws BabelhostError `containerFailed` where neither names a command
 */
export const defaultConfigFactory: ConfigFactory = (image, process) => {
  const args = process.args ?? [...image.entrypoint, ...image.command];
  if (args.length === 0) {
    throw new BabelhostError('containerFailed', 'The image names no command: give the process its args.', {});
  }
  return {
    process: {
      args,
      env: { ...environmentOf(image), ...process.env },
      cwd: process.cwd ?? (image.workingDirectory === '' ? '/' : image.workingDirectory),
      user: process.user ?? image.user,
    },
    ...(process.limits !== undefined && { limits: process.limits }),
  };
};
