// Connections to the guard's starter, and what each begins with (native/start.c, native/protocol.h).
import { connect, type Socket } from 'node:net';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';
import { explainSystemError } from '../diagnose/failures.ts';
import type { Guard } from './guard.ts';

/** What a connection is for: the letters of native/protocol.h. */
export const connectionKinds = {
  /** Asks for a container or a process in one, and carries the starter's reports of it. */
  start: 's',
  /** Asks for a process to be killed. */
  kill: 'k',
  // Become the process's descriptors 0 to 3.
  stdin: '0',
  stdout: '1',
  stderr: '2',
  channel: '3',
} as const;

export type ConnectionKind = keyof typeof connectionKinds;

/**
 * What a connection begins with: its header, and the request where it makes one.
 * @param id tells which connections belong together
 */
export function beginning(id: string, kind: ConnectionKind, args: readonly string[] = [], content = ''): string {
  const strings = args.map((argument) => `${argument}\0`).join('');
  const lengths = [strings, content].map((part) => String(Buffer.byteLength(part)).padStart(8));
  return `${id} ${connectionKinds[kind]} ${lengths.join(' ')}\n${strings}${content}`;
}

/**
 * Makes one connection and sends what it begins with.
 * @param begun of beginning()
 * @param onFailure called if the connection cannot be made
 */
export function connectToStarter(guard: Guard, begun: string, onFailure: (reason: unknown) => void): Socket {
  const socket = connect(guard.startSocket);
  socket.on('error', (error) => {
    // Later on, the process has closed its end, and the callback of the write has the error.
    const { syscall } = error as NodeJS.ErrnoException;
    if (syscall === 'connect') onFailure(explainConnection(error));
  });
  socket.write(begun);
  return socket;
}

function explainConnection(error: Error): unknown {
  const code = systemErrorCode(error);
  if (code !== 'ENOENT' && code !== 'ECONNREFUSED') return explainSystemError('start a container', error);
  return new BabelhostError('containerFailed', 'The guard of the containers has ended; the next start makes another.', {
    cause: code,
  });
}
