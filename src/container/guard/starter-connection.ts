// Connections to the guard's starter, and what each begins with (native/start.c).
import { connect, type Socket } from 'node:net';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';
import { explainSystemError } from '../diagnose/failures.ts';
import type { Guard } from './guard.ts';

/** The lengths of a request, in a field of eight each, and the request itself; zeros where the connection makes none. */
export function header(args: readonly string[] = [], content = ''): string {
  const strings = args.map((argument) => `${argument}\0`).join('');
  const lengths = [strings, content].map((part) => String(Buffer.byteLength(part)).padStart(8));
  return `${lengths.join(' ')}\n${strings}${content}`;
}

/**
 * Makes one connection and sends what it begins with.
 * @param beginning the id, the kind, and the header
 * @param onFailure is told if the connection cannot be made
 */
export function connectToStarter(guard: Guard, beginning: string, onFailure: (reason: unknown) => void): Socket {
  const socket = connect(guard.startSocket);
  socket.on('error', (error) => {
    // Later on, a process that has closed its end is no fault of the host's: who writes is told by the callback.
    const { syscall } = error as NodeJS.ErrnoException;
    if (syscall === 'connect') onFailure(explainConnection(error));
  });
  socket.write(beginning);
  return socket;
}

function explainConnection(error: Error): unknown {
  const code = systemErrorCode(error);
  if (code !== 'ENOENT' && code !== 'ECONNREFUSED') return explainSystemError('start a container', error);
  return new BabelhostError('containerFailed', 'The guard of the containers has ended; the next start makes another.', {
    cause: code,
  });
}
