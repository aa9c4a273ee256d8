// The configuration of a container of the library's runtime: the image's and the process's, put together by a factory that
// can be replaced.
import type { Readable, Writable } from 'node:stream';
import type { ContainerOptions, Limits } from '../container/index.ts';
import { BabelhostError } from '../base/errors.ts';
import { environmentOf, type ImageConfig } from '../images/index.ts';

/** What to execute in a container. Members that are not given are the image's. */
export interface Process {
  readonly args?: readonly string[];
  /** Added to the image's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** `user`, `uid`, `user:group`, `uid:gid` …, as the image knows them. */
  readonly user?: string;
  /** An absolute path in the container. */
  readonly cwd?: string;
  /** Its streams; where one is not given, the container's own can be used. */
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  readonly limits?: Partial<Limits>;
}

/** What the runtime leaves to the factory. */
export type ContainerConfig = Pick<ContainerOptions, 'process' | 'limits' | 'hostname'>;

/** Makes a container's configuration from the image's and the process. */
export type ConfigFactory = (image: ImageConfig, process: Process) => ContainerConfig;

/**
 * The default configuration factory: the process's members before the image's, Docker's rules for entry point and command,
 * and the container room's limits.
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
