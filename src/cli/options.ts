// The options that every command takes: where the host is, how it talks, and what bounds it.
import { Option, type Command } from 'commander';
import type { HostOptions, ServeOptions } from '../host.ts';
import type { LogLevel } from '../base/log.ts';
import { UsageError } from './failure.ts';
import { imageLimitNames, parseImageLimit, type ImageLimits } from './image-limits.ts';
import { orNone, parseBytes, parseCount, parseList, parseMilliseconds, parseShare } from './quantities.ts';

/**
 * Each limit under the name that the host has it by (`host/info` lists the values in force under these names too). What
 * the host does not know does not compile.
 */
export type LimitOptions = NonNullable<HostOptions['limits']> & ServeOptions;

export interface GlobalOptions {
  readonly root?: string;
  /** The path of a host's socket. */
  readonly connect?: string;
  readonly runtime?: string;
  readonly storeAccess?: StoreAccess;
  readonly logLevel?: LogLevel;
  readonly logDriverStderr?: true;
  readonly json: boolean;
  readonly limits: LimitOptions;
  readonly imageLimits?: ImageLimits;
  /** Protections that must be fully in force. */
  readonly require?: readonly string[];
}

/** As log.ts has them; that file loads the logger, which most ways of calling the program do not need. */
export const logLevels = [
  'silent',
  'fatal',
  'error',
  'warn',
  'info',
  'debug',
  'trace',
] as const satisfies readonly LogLevel[];

export type StoreAccess = NonNullable<HostOptions['storeAccess']>;

const storeAccesses = ['owner', 'everyone'] as const satisfies readonly StoreAccess[];

interface Limit {
  readonly name: keyof LimitOptions;
  readonly flags: string;
  readonly summary: string;
  readonly parse: (text: string) => number;
  /** An environment variable of the same meaning: those that Babelfish's server had, under our prefix. */
  readonly environment?: string;
}

export const limits: readonly Limit[] = [
  { name: 'contentBytes', flags: '--max-content-bytes <size>', summary: 'largest source', parse: parseBytes },
  {
    name: 'responseBytes',
    flags: '--max-response-bytes <size>',
    summary: 'largest answer of a driver',
    parse: parseBytes,
  },
  { name: 'responseDepth', flags: '--max-response-depth <count>', summary: 'deepest tree', parse: parseCount },
  {
    name: 'messageBytes',
    flags: '--max-message-bytes <size>',
    summary: 'largest message from a client',
    parse: parseBytes,
  },
  { name: 'timeoutMs', flags: '--timeout <time>', summary: 'longest that a file may take', parse: parseMilliseconds },
  {
    name: 'bootMs',
    flags: '--boot-timeout <time>',
    summary: 'longest that a driver may take to start',
    parse: parseMilliseconds,
  },
  {
    name: 'graceMs',
    flags: '--grace <time>',
    summary: 'how long a driver may go on with a request that was given up',
    parse: parseMilliseconds,
  },
  {
    name: 'drainMs',
    flags: '--drain <time>',
    summary: 'how long requests in flight may go on when the host ends',
    parse: parseMilliseconds,
  },
  {
    name: 'maximumInstances',
    flags: '--max-instances <count>',
    summary: 'most drivers of a language at once',
    parse: parseCount,
    environment: 'BABELHOST_MAX_DRIVER_INSTANCES',
  },
  {
    name: 'queueLength',
    flags: '--queue-length <count>',
    summary: 'most requests that wait for a language',
    parse: parseCount,
  },
  {
    name: 'minimumInstances',
    flags: '--min-instances <count>',
    summary: 'drivers of a language that are kept while it is in use',
    parse: orNone(parseCount),
    environment: 'BABELHOST_MIN_DRIVER_INSTANCES',
  },
  {
    name: 'totalInstances',
    flags: '--max-total-instances <count>',
    summary: 'most drivers of all languages at once',
    parse: parseCount,
  },
  {
    name: 'totalMemoryBytes',
    flags: '--max-total-memory <size>',
    summary: 'memory of all drivers beyond which none is started',
    parse: parseBytes,
  },
  {
    name: 'windowMs',
    flags: '--scale-window <time>',
    summary: 'how far back load is averaged',
    parse: parseMilliseconds,
    environment: 'BABELHOST_POLICY_WINDOW',
  },
  {
    name: 'tickMs',
    flags: '--scale-tick <time>',
    summary: 'how often a pool is scaled',
    parse: parseMilliseconds,
    environment: 'BABELHOST_POLICY_TICK',
  },
  {
    name: 'increase',
    flags: '--scale-increase <count>',
    summary: 'most drivers that are added in a tick',
    parse: parseCount,
    environment: 'BABELHOST_POLICY_SCALE_INC',
  },
  {
    name: 'decrease',
    flags: '--scale-decrease <share>',
    summary: 'part of the idle ones that goes in a tick',
    parse: parseShare,
    environment: 'BABELHOST_POLICY_DOWNSCALE_MULT',
  },
  {
    name: 'idleMs',
    flags: '--idle-time <time>',
    summary: 'when all drivers of an unused language go; 0 for never',
    parse: orNone(parseMilliseconds),
  },
  {
    name: 'retireRequests',
    flags: '--retire-requests <count>',
    summary: 'requests after which a driver is replaced; 0 for never',
    parse: orNone(parseCount),
  },
  {
    name: 'retireAgeMs',
    flags: '--retire-age <time>',
    summary: 'age at which a driver is replaced; 0 for never',
    parse: orNone(parseMilliseconds),
  },
  {
    name: 'retireMemoryBytes',
    flags: '--retire-memory <size>',
    summary: 'memory at which a driver is replaced; 0 for never',
    parse: orNone(parseBytes),
  },
  {
    name: 'quarantineMs',
    flags: '--quarantine <time>',
    summary: 'how long a source that ended two drivers is refused; 0 for never',
    parse: orNone(parseMilliseconds),
  },
];

export const limitsHeading = 'Limits (sizes such as 64M, times such as 500 (ms) or 30s):';

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
  for (const { flags, summary, parse, environment } of limits) {
    const option = new Option(flags, summary).argParser(parse).helpGroup(limitsHeading);
    program.addOption(environment === undefined ? option : option.env(environment));
  }
  program.addOption(
    new Option('--image-limit <limit>', `NAME=VALUE, a limit of images: ${imageLimitNames.join(', ')}`)
      .argParser(parseImageLimit)
      .helpGroup(limitsHeading),
  );
}

/**
 * Reads them from the program once it has parsed its arguments.
 * @throws UsageError for options that exclude one another
 */
export function readGlobalOptions(program: Command): GlobalOptions {
  const values = program.opts<{
    root?: string;
    connect?: string;
    runtime?: string;
    storeAccess?: StoreAccess;
    logLevel?: LogLevel;
    logDriverStderr?: true;
    json?: true;
    imageLimit?: ImageLimits;
    require?: readonly string[];
  }>();
  const connect = values.connect === undefined ? undefined : parseSocketAddress(values.connect, '--connect');
  const given = (attribute: string): boolean => program.getOptionValueSource(attribute) === 'cli';
  const found: Partial<Record<keyof LimitOptions, number>> = {};
  for (const option of program.options) {
    const limit = limits.find(({ flags }) => flags === option.flags);
    if (limit === undefined) continue;
    const { name, flags } = limit;
    const attribute = option.attributeName();
    const value: unknown = program.getOptionValue(attribute);
    if (typeof value !== 'number') continue;
    if (connect !== undefined && name !== 'timeoutMs' && given(attribute)) throw withoutEffect(option.long ?? flags);
    found[name] = value;
  }
  if (connect !== undefined) {
    // From the environment they are the host's settings as much as this program's: only given here are they a mistake.
    for (const attribute of ['root', 'runtime']) if (given(attribute)) throw withoutEffect(`--${attribute}`);
    if (given('storeAccess')) throw withoutEffect('--store-access');
    if (values.logDriverStderr !== undefined) throw withoutEffect('--log-driver-stderr');
    if (values.imageLimit !== undefined) throw withoutEffect('--image-limit');
    if (values.require !== undefined) throw withoutEffect('--require');
  }
  return {
    ...(values.root !== undefined && { root: values.root }),
    ...(connect !== undefined && { connect }),
    ...(values.runtime !== undefined && { runtime: values.runtime }),
    ...(values.storeAccess !== undefined && { storeAccess: values.storeAccess }),
    ...(values.logLevel !== undefined && { logLevel: values.logLevel }),
    ...(values.logDriverStderr !== undefined && { logDriverStderr: true }),
    json: values.json === true,
    limits: found,
    ...(values.imageLimit !== undefined && { imageLimits: values.imageLimit }),
    ...(values.require !== undefined && { require: values.require }),
  };
}

function withoutEffect(option: string): UsageError {
  return new UsageError(`${option} is for the host that a command starts, and has no effect with --connect.`);
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
