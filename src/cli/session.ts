// A session with a host, always through the protocol: over the socket of one that runs, or, message by message, in the
// memory of this process to one started here.
import { once } from 'node:events';
import { connect as connectSocket } from 'node:net';
import { duplexPair, type Duplex } from 'node:stream';
import { BabelhostError, messageOf, systemErrorCode } from '../base/errors.ts';
import { given } from '../base/given.ts';
import type { HostOptions } from '../host.ts';
import type { Client } from '../protocol/client.ts';
import type { GlobalOptions } from './options.ts';
import { findSocket } from './socket-path.ts';

export interface Session extends AsyncDisposable {
  readonly client: Client;
  /** Stops reading messages from the host, which then stops making them. */
  pause(): void;
  resume(): void;
  /** Called before each line that this process logs to stderr, so that a drawing there can be erased. */
  onLogLine(listener: () => void): void;
}

/**
 * Opens a session.
 * @throws BabelhostError `notFound` where no host listens, or not one of this user's; and what Host.start throws
 */
export async function openSession(options: GlobalOptions): Promise<Session> {
  return options.connect === undefined ? await startHost(options) : await connectTo(options.connect);
}

/** Starts a host with the options of the program, for a command's own use and for `serve`. */
export async function startHostWith(
  options: GlobalOptions,
  level: 'warn' | 'info',
  more: Pick<HostOptions, 'warm' | 'metricsPort' | 'driverLimits'> = {},
) {
  const [{ Host }, { createLogger, LogRelay }] = await Promise.all([import('../host.ts'), import('../base/log.ts')]);
  const { messageBytes, drainMs, ...limits } = options.limits;
  const relay = new LogRelay();
  const logger = await createLogger(options.logLevel ?? level, relay);
  const host = await Host.start({ logger, relay, limits, ...options.host, ...more });
  return { host, logger, relay, serving: given({ messageBytes, drainMs }) };
}

async function startHost(options: GlobalOptions): Promise<Session> {
  const [{ Client }, { host, relay, serving }] = await Promise.all([
    import('../protocol/client.ts'),
    startHostWith(options, 'warn'),
  ]);
  // Of one message at a time: the host makes the next when the command has taken this one.
  const [near, far] = duplexPair({ objectMode: true, highWaterMark: 1 });
  const connection = host.serve(far, far, serving);
  return sessionOver(
    near,
    new Client(near, near),
    async () => {
      near.end();
      // Requests in flight were given up with the session; a drain would wait for them.
      far.destroy();
      await connection.ended;
      await host.close();
    },
    (listener) => {
      relay.subscribe(listener);
    },
  );
}

async function connectTo(path: string): Promise<Session> {
  const { Client } = await import('../protocol/client.ts');
  const unreachable = (reason: string, cause?: unknown): BabelhostError =>
    new BabelhostError(
      'notFound',
      `No host of yours can be reached at unix:${path} (${reason}); start one with 'babelhost serve --listen unix:${path}'.`,
      { path, reason, code: systemErrorCode(cause) },
      { cause },
    );
  let socket;
  try {
    const { real, reason } = await findSocket(path);
    if (reason !== undefined) throw unreachable(`${reason}, who would get what is asked there`);
    socket = connectSocket(real);
    await once(socket, 'connect');
  } catch (error) {
    if (error instanceof BabelhostError) throw error;
    throw unreachable(systemErrorCode(error) === 'EACCES' ? 'it belongs to another user' : messageOf(error), error);
  }
  return sessionOver(socket, new Client(socket, socket, { rawTrees: true, ownsInput: true }), async () => {
    socket.end();
    socket.destroy();
    await Promise.resolve();
  });
}

function sessionOver(
  stream: Duplex,
  client: Client,
  close: () => Promise<void>,
  onLogLine: Session['onLogLine'] = () => undefined,
): Session {
  return {
    client,
    pause: () => {
      stream.pause();
    },
    resume: () => {
      stream.resume();
    },
    onLogLine,
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await close();
    },
  };
}
