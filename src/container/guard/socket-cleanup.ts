// The host's note of the socket that it listens at, which the guard removes when the host is gone (native/socket-cleanup.c).
import { lstatSync, symlinkSync } from 'node:fs';
import path from 'node:path';

/** A socket that this host has made. */
export interface ListeningSocket {
  readonly path: string;
  /** These distinguish it from a later one at the same path: inode numbers are used again, times of making are not. */
  readonly device: bigint;
  readonly inode: bigint;
  readonly madeNs: bigint;
}

/**
 * Identifies a socket that has just been made. Synchronous: later there may be another host's in its place.
 * @param file its absolute path
 */
export function identifySocket(file: string): ListeningSocket {
  const { dev, ino, mtimeNs } = lstatSync(file, { bigint: true });
  return { path: file, device: dev, inode: ino, madeNs: mtimeNs };
}

/** Notes it in the folder of a host, which has no such note yet; in one system call, so that the note is never half written. */
export function noteSocket(folder: string, socket: ListeningSocket): void {
  symlinkSync(`${socket.device}:${socket.inode}:${socket.madeNs}:${socket.path}`, path.join(folder, 'listened'));
}
