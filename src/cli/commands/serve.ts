// serve: a host for other programs. On stdio for one client, whose end ends the host; on a socket for many.
import type { Socket } from 'node:net';
import type { Host, ServeOptions } from '../../host.ts';
import { given } from '../../base/given.ts';
import type { Logger } from '../../base/log.ts';
import { InvalidArgumentError } from 'commander';
import type { CommandModule, Context, ExitStatus } from '../command.ts';
import { driverLimitNames, parseLanguageLimit, type DriverLimits } from '../named-limits.ts';
import { UsageError } from '../failure.ts';
import { listen } from '../listen.ts';
import { parseSocketAddress } from '../options.ts';
import { parseCount, parseList } from '../quantities.ts';
import { startHostWith } from '../session.ts';

interface Options {
  readonly stdio?: true;
  readonly listen?: string;
  readonly maxClients: number;
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
      .option('--max-clients <count>', 'most clients at once on a socket', parseCount, 256)
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
    const { host, logger, serving } = await startHostWith(context.global, 'info', {
      ...given({ warm: options.warm, driverLimits: options.limit, metricsPort: options.metricsPort }),
    });
    try {
      if (path === undefined) return await serveStdio(context, host, serving);
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

async function serveStdio({ signal, output }: Context, host: Host, serving: ServeOptions): Promise<ExitStatus> {
  if (process.stdin.isTTY) {
    process.stderr.write(
      'babelhost speaks JSON-RPC in Content-Length frames on stdin and stdout: it waits for a program.\n',
    );
  }
  const connection = host.serve(process.stdin, output.stream, serving);
  shutDownOn(signal, connection);
  const end = await connection.ended;
  // LSP 3.17, "Exit Notification": 0 if the shutdown request came before it, 1 otherwise.
  return end.by === 'exit' && !end.afterShutdown ? 1 : 0;
}

async function serveSocket(
  { signal, say }: Context,
  host: Host,
  serving: ServeOptions,
  path: string,
  maximumClients: number,
  logger: Logger,
): Promise<ExitStatus> {
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
    onTurnedAway: () => {
      logger.warn({ maximumClients }, 'a client was turned away: there are as many as --max-clients allows');
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
