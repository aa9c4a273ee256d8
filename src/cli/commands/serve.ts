// serve: a host for other programs. On stdio for one client, whose end ends the host; on a socket for many.
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import type { Host, ServeOptions } from '../../host.ts';
import { given } from '../../base/given.ts';
import type { Logger } from '../../base/log.ts';
import { framingChoices, type FramingChoice } from '../../protocol/framing/framing.ts';
import { InvalidArgumentError, Option } from 'commander';
import type { CommandModule, Context, ExitStatus } from '../command.ts';
import { driverLimitNames, parseLanguageLimit, type DriverLimits } from '../named-limits.ts';
import { UsageError } from '../failure.ts';
import { hangUpOfStdout } from '../hang-up.ts';
import { listen } from '../listen.ts';
import { parseSocketAddress } from '../options.ts';
import { parseCount, parseList } from '../quantities.ts';
import { startHostWith } from '../session.ts';

interface Options {
  readonly stdio?: true;
  readonly listen?: string;
  readonly maxClients: number;
  readonly framing: FramingChoice;
  readonly warm?: readonly string[];
  readonly metricsPort?: number;
  readonly limit?: Readonly<Record<string, DriverLimits>>;
}

type Connection = ReturnType<Host['serve']>;

const command: CommandModule<Options> = {
  configure(command) {
    command
      .option('--stdio', 'one client, on stdin and stdout (the default)')
      .option('--listen <address>', 'many clients, on a socket: unix:PATH')
      .option('--max-clients <count>', 'most clients at once on a socket', parseCount, 1000)
      .addOption(
        new Option('--framing <framing>', 'messages have headers, or are lines; auto: as the client’s first')
          .choices(framingChoices)
          .default('auto'),
      )
      .option('--warm <languages>', 'keep drivers of these running: python,javascript', parseList)
      .option('--limit <limit>', `[LANGUAGE:]NAME=VALUE, a limit of drivers: ${driverLimitNames}`, parseLanguageLimit)
      .option('--metrics-port <port>', 'serve metrics for Prometheus at 127.0.0.1', parsePort);
  },

  async run(context, _args, options) {
    if (context.global.connect !== undefined) throw new UsageError('serve is a host itself: it takes no --connect.');
    if (options.stdio !== undefined && options.listen !== undefined) {
      throw new UsageError('Give either --stdio or --listen.');
    }
    const path = options.listen === undefined ? undefined : parseSocketAddress(options.listen, '--listen');
    context.answerSignals();
    const {
      host,
      logger,
      serving: limits,
    } = await startHostWith(context.global, 'info', {
      ...given({ warm: options.warm, driverLimits: options.limit, metricsPort: options.metricsPort }),
    });
    const serving = { ...limits, framing: options.framing };
    try {
      if (path === undefined) return await serveStdio(context, host, serving, logger);
      return await serveSocket(context, host, serving, path, options.maxClients, logger);
    } finally {
      await host.close();
    }
  },
};

export default command;

/** @throws InvalidArgumentError */
function parsePort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 65_535) {
    throw new InvalidArgumentError('It must be a port, from 1 to 65535, or 0 for any that is free.');
  }
  return port;
}

async function serveStdio(
  { signal, output }: Context,
  host: Host,
  serving: ServeOptions,
  logger: Logger,
): Promise<ExitStatus> {
  if (process.stdin.isTTY) {
    process.stderr.write(
      'babelhost speaks JSON-RPC on stdin and stdout, in Content-Length frames or a line for each message.\n',
    );
  }
  const connection = host.serve(process.stdin, output.stream, {
    ...serving,
    ...given({ awaitHangUp: hangUpOfStdout(logger) }),
  });
  shutDownOn(signal, connection);
  const end = await connection.ended;
  // LSP 3.17, "Exit Notification": 0 if the shutdown request came before it, 1 otherwise.
  if (end.by === 'exit') return end.afterShutdown ? 0 : 1;
  return end.unreadable ? 1 : 0;
}

async function serveSocket(
  { signal, say }: Context,
  host: Host,
  serving: ServeOptions,
  path: string,
  wanted: number,
  logger: Logger,
): Promise<ExitStatus> {
  const { turnAway } = await import('../../protocol/server/turn-away.ts');
  const maximumClients = Math.min(wanted, await roomForClients());
  if (maximumClients < wanted) {
    logger.warn(
      { maximumClients, wanted },
      'fewer clients are taken than --max-clients allows: half of the files that may be open (ulimit -n)',
    );
  }
  const connections = new Set<Connection>();
  const serve = (socket: Socket): void => {
    const connection = host.serve(socket, socket, serving);
    shutDownOn(signal, connection);
    connections.add(connection);
    void connection.ended.then(() => {
      connections.delete(connection);
      socket.end();
      // A client that does not close its own end would keep the descriptor for as long as it lives.
      socket.destroySoon();
    });
  };
  const onBound = await host.prepareToListen();
  await using listener = await listen(path, {
    maximumClients,
    onBound,
    onClient: serve,
    onTooMany: (socket) => {
      logger.warn({ maximumClients }, 'a client was turned away: there are as many as --max-clients allows');
      void turnAway(socket, maximumClients, serving.framing ?? 'auto');
    },
  });
  say(`Listening at unix:${listener.path}`);
  if (!signal.aborted) {
    await new Promise((resolve) => {
      signal.addEventListener('abort', resolve, { once: true });
    });
  }
  await Promise.all([...connections].map((connection) => connection.ended));
  return 0;
}

/**
 * How many clients may be connected: half of the files that this process may have open (Node has raised the soft limit to the
 * hard one). Drivers and files need the others.
 */
async function roomForClients(): Promise<number> {
  const limit = /^Max open files +(\d+)/m.exec(await readFile('/proc/self/limits', 'utf8'))?.[1];
  return limit === undefined ? Infinity : Math.floor(Number(limit) / 2);
}

/** On the first signal: no more requests, and those in flight finish within their grace time (--drain). */
function shutDownOn(signal: AbortSignal, connection: Connection): void {
  const shutDown = (): void => {
    void connection.shutDown();
  };
  if (signal.aborted) shutDown();
  signal.addEventListener('abort', shutDown, { once: true });
  void connection.ended.then(() => {
    signal.removeEventListener('abort', shutDown);
  });
}
