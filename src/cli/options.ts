// The options that every command takes: where the host is, how it talks, and what bounds it.
import { Option, type Command } from 'commander';
import { given } from '../base/given.ts';
import type { LogLevel } from '../base/log.ts';
import type { HostOptions, ServeOptions } from '../host.ts';
import { UsageError } from './failure.ts';
import { imageLimitNames, parseImageLimit, type ImageLimits } from './named-limits.ts';
import { orNone, parseBytes, parseCount, parseList, parseMilliseconds, parseShare } from './quantities.ts';

type LimitOptions = NonNullable<HostOptions['limits']> & Pick<ServeOptions, 'messageBytes' | 'drainMs'>;

export interface GlobalOptions {
  /** The path of a host's socket. */
  readonly connect?: string;
  readonly logLevel?: LogLevel;
  readonly json: boolean;
  readonly limits: LimitOptions;
  /** For the host that a command starts. */
  readonly host: Pick<HostOptions, 'root' | 'runtime' | 'storeAccess' | 'logDriverStderr' | 'imageLimits' | 'require'>;
}

/** As log.ts has them; that file loads the logger, which most ways of calling the program do not need. */
const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const satisfies readonly LogLevel[];

type StoreAccess = NonNullable<HostOptions['storeAccess']>;

const storeAccesses = ['owner', 'everyone'] as const satisfies readonly StoreAccess[];

export const limitsHeading = 'Limits (sizes such as 64M, times such as 500 (ms) or 30s):';

function limit(flags: string, summary: string, parse: (text: string) => number): Option {
  return new Option(flags, summary).argParser(parse).helpGroup(limitsHeading);
}

const size = (flag: string, summary: string): Option => limit(`${flag} <size>`, summary, parseBytes);
const time = (flag: string, summary: string): Option => limit(`${flag} <time>`, summary, parseMilliseconds);
const count = (flag: string, summary: string): Option => limit(`${flag} <count>`, summary, parseCount);

/**
 * The option of each limit, under the name that the host has it by (`host/info` lists the values in force under these names
 * too). The environment variables are those that Babelfish's server had, under our prefix.
 */
export const limits: Readonly<Record<keyof LimitOptions, Option>> = {
  contentBytes: size('--max-content-bytes', 'largest source'),
  responseBytes: size('--max-response-bytes', 'largest answer of a driver'),
  responseDepth: count('--max-response-depth', 'deepest tree'),
  messageBytes: size('--max-message-bytes', 'largest message from a client'),
  timeoutMs: time('--timeout', 'longest that a driver may take for a file'),
  queueTimeoutMs: time('--queue-timeout', 'longest that a file may wait for a driver'),
  bootMs: time('--boot-timeout', 'longest that a driver may take to start'),
  graceMs: time('--grace', 'how long a driver may go on with a request that was given up'),
  drainMs: time('--drain', 'how long requests in flight may go on when the host ends'),
  maximumInstances: count('--max-instances', 'most drivers of a language at once').env(
    'BABELHOST_MAX_DRIVER_INSTANCES',
  ),
  queueLength: count('--queue-length', 'most requests that wait for a language'),
  minimumInstances: limit(
    '--min-instances <count>',
    'drivers of a language that are kept while it is in use',
    orNone(parseCount),
  ).env('BABELHOST_MIN_DRIVER_INSTANCES'),
  totalInstances: count('--max-total-instances', 'most drivers of all languages at once'),
  totalMemoryBytes: size('--max-total-memory', 'memory of all drivers beyond which none is started'),
  windowMs: time('--scale-window', 'how far back load is averaged').env('BABELHOST_POLICY_WINDOW'),
  tickMs: time('--scale-tick', 'how often a pool is scaled').env('BABELHOST_POLICY_TICK'),
  increase: count('--scale-increase', 'most drivers that are added in a tick').env('BABELHOST_POLICY_SCALE_INC'),
  decrease: limit('--scale-decrease <share>', 'part of the idle ones that goes in a tick', parseShare).env(
    'BABELHOST_POLICY_DOWNSCALE_MULT',
  ),
  idleMs: limit(
    '--idle-time <time>',
    'when all drivers of an unused language go; 0 for never',
    orNone(parseMilliseconds),
  ),
  retireRequests: limit(
    '--retire-requests <count>',
    'requests after which a driver is replaced; 0 for never',
    orNone(parseCount),
  ),
  retireAgeMs: limit(
    '--retire-age <time>',
    'age at which a driver is replaced; 0 for never',
    orNone(parseMilliseconds),
  ),
  retireMemoryBytes: limit(
    '--retire-memory <size>',
    'memory at which a driver is replaced; 0 for never',
    orNone(parseBytes),
  ),
  quarantineMs: limit(
    '--quarantine <time>',
    'how long a source that ended two drivers is refused; 0 for never',
    orNone(parseMilliseconds),
  ),
};

/** Declares the options of every command on the program. */
export function declareGlobalOptions(program: Command): void {
  program
    .addOption(new Option('--root <folder>', 'folder of the store').env('BABELHOST_ROOT'))
    .addOption(new Option('--connect <address>', 'use the host at this socket (unix:PATH)').env('BABELHOST_CONNECT'))
    .addOption(new Option('--runtime <runtime>', 'runc, crun, or the path of one').env('BABELHOST_RUNTIME'))
    .addOption(
      new Option('--store-access <whom>', 'who may read the store')
        .choices(storeAccesses)
        .env('BABELHOST_STORE_ACCESS'),
    )
    .addOption(
      new Option('--log-level <level>', 'what is logged on stderr').choices(logLevels).env('BABELHOST_LOG_LEVEL'),
    )
    .option('--log-driver-stderr', 'log what drivers write to stderr, which may quote sources')
    .option('--json', 'print results (and errors, on stderr) as JSON')
    .option('--require <protections>', 'start no container where one of these is weaker: memory,cpu', parseList);
  for (const option of Object.values(limits)) program.addOption(option);
  program.addOption(
    new Option('--image-limit <limit>', `NAME=VALUE, a limit of images: ${imageLimitNames}`)
      .argParser(parseImageLimit)
      .helpGroup(limitsHeading),
  );
}

/** Options that have an effect with --connect. */
const withConnect = new Set(['connect', 'logLevel', 'json', 'timeout', 'queueTimeout']);

/**
 * Reads them from the program once it has parsed its arguments.
 * @throws UsageError for options that exclude one another
 */
export function readGlobalOptions(program: Command): GlobalOptions {
  const { connect, logLevel, json, root, runtime, storeAccess, logDriverStderr, imageLimit, require } = program.opts<{
    connect?: string;
    logLevel?: LogLevel;
    json?: true;
    root?: string;
    runtime?: string;
    storeAccess?: StoreAccess;
    logDriverStderr?: true;
    imageLimit?: ImageLimits;
    require?: readonly string[];
  }>();
  const values = Object.entries(limits).map(([name, option]): [string, unknown] => [
    name,
    program.getOptionValue(option.attributeName()),
  ]);
  const path = connect === undefined ? undefined : parseSocketAddress(connect, '--connect');
  // From the environment they are the host's settings as much as this program's: only given here are they a mistake.
  const unused = program.options.find(
    (option) =>
      program.getOptionValueSource(option.attributeName()) === 'cli' && !withConnect.has(option.attributeName()),
  );
  if (path !== undefined && unused !== undefined) {
    throw new UsageError(
      `${unused.long ?? unused.flags} is for the host that a command starts, and has no effect with --connect.`,
    );
  }
  return {
    ...given({ connect: path, logLevel }),
    json: json === true,
    limits: given(Object.fromEntries(values)),
    host: given({ root, runtime, storeAccess, logDriverStderr, require, imageLimits: imageLimit }),
  };
}

/** The longest path of a socket on Linux (unix(7): sun_path, with its final zero byte). */
const longestSocketPath = 107;

/**
 * The path of `unix:PATH`.
 * @throws UsageError
 */
export function parseSocketAddress(address: string, option: string): string {
  const path = /^unix:(?:\/\/(?=\/))?(.+)$/s.exec(address)?.[1];
  if (path === undefined) throw new UsageError(`${option} takes unix:PATH, not '${address}'.`);
  if (Buffer.byteLength(path) > longestSocketPath) {
    throw new UsageError(`${option}: the path of a socket has at most ${longestSocketPath} bytes; this one is longer.`);
  }
  return path;
}
