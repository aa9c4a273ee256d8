// A Unix socket to serve on: only its owner may connect, one that a dead host has left is replaced, and it is removed at
// the end.
import { once } from 'node:events';
import { lstat, unlink } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { BabelhostError, messageOf, systemErrorCode } from '../base/errors.ts';
import { whyReplaceable } from './socket-path.ts';

/** Node's own (net.Server.listen). The kernel takes no more than net.core.somaxconn, 4,096 by default. */
const leastBacklog = 511;

export interface Listener extends AsyncDisposable {
  readonly path: string;
}

export interface ListenOptions {
  /** How many clients may be connected at once. */
  readonly maximumClients: number;
  readonly onClient: (socket: Socket) => void;
  /** Called with a client for whom there is no room, to answer it and to close its socket. */
  readonly onTooMany: (socket: Socket) => void;
  /** Called in the turn in which the socket was made, with its absolute path. */
  readonly onBound: (file: string) => void;
}

/**
 * Listens at a path.
 * @throws BabelhostError `conflict` where another host listens there, where something lies there that is no socket, or
 * where others could listen in its place; `notFound` where its folder is missing or may not be written
 */
export async function listen(file: string, options: ListenOptions): Promise<Listener> {
  const absolute = path.resolve(file);
  await requireOwnFolder(absolute);
  await removeStale(absolute);
  // A client that has sent all its requests may close its end and still wait for the answers.
  let clients = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    if (clients >= options.maximumClients) {
      options.onTooMany(socket);
      return;
    }
    clients += 1;
    socket.once('close', () => {
      clients -= 1;
    });
    options.onClient(socket);
  });
  await bind(server, absolute, options);
  return {
    path: absolute,
    async [Symbol.asyncDispose]() {
      // Closing the server removes the socket's file (libuv does); connections go on until they are ended.
      server.close();
      await Promise.resolve();
    },
  };
}

async function bind(server: Server, file: string, { maximumClients, onBound }: ListenOptions): Promise<void> {
  // The mode must be right from the first moment: chmod would come too late for a client that is quick. The umask is the
  // process's, so it is put back before anything else can run: binding a path happens within listen().
  const before = process.umask(0o177);
  try {
    // As many as may be connected may come at the same time: more than the backlog holds would be refused (EAGAIN).
    server.listen({ path: file, backlog: Math.max(maximumClients, leastBacklog) });
  } finally {
    process.umask(before);
  }
  try {
    // Errors of binding are emitted in the next turn.
    if (server.listening) onBound(file);
    await once(server, 'listening');
  } catch (error) {
    server.close();
    const code = systemErrorCode(error);
    if (code === 'EADDRINUSE') throw occupied(file, 'another host has just begun to listen there');
    throw new BabelhostError(
      'notFound',
      `A socket cannot be made at ${file} (${messageOf(error)}); its folder must exist and be yours to write.`,
      { path: file, code },
      { cause: error },
    );
  }
}

/** The socket's mode keeps others from connecting, but not those who may write to its folder from replacing it. */
async function requireOwnFolder(file: string): Promise<void> {
  // A missing folder makes binding fail, with its own error.
  const reason = await whyReplaceable(file).catch(() => undefined);
  if (reason === undefined) return;
  throw new BabelhostError(
    'conflict',
    `Cannot listen at unix:${file}: ${reason}, and could get what clients ask there. Choose a folder that only you may write to.`,
    { path: file, reason },
  );
}

/** Removes a socket whose host has gone. */
async function removeStale(file: string): Promise<void> {
  let before;
  try {
    before = await lstat(file);
  } catch {
    // Missing, or not accessible: binding fails with its own error.
    return;
  }
  if (!before.isSocket()) throw occupied(file, 'what is there is not a socket');
  const code = await new Promise<string | undefined>((resolve) => {
    const probe = connect(file, () => {
      probe.destroy();
      resolve(undefined);
    });
    probe.once('error', (error) => {
      resolve(systemErrorCode(error) ?? 'unknown');
    });
  });
  if (code === undefined || code === 'EAGAIN') throw occupied(file, 'a host listens there already');
  if (code === 'EACCES') throw occupied(file, 'a host of another user listens there');
  // Another host may have replaced it since: that socket is another file.
  const now = await lstat(file).catch(() => undefined);
  if (now?.ino === before.ino) await unlink(file);
}

function occupied(file: string, reason: string): BabelhostError {
  return new BabelhostError('conflict', `Cannot listen at unix:${file}: ${reason}. Choose another path, or end it.`, {
    path: file,
    reason,
  });
}
