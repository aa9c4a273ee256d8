// What a container writes, read into memory that is there already. Node gives each read of a stream 64 KB of its own, new
// and cold, and cuts what was not needed off by copying; a connection that is made with `onread` takes memory of one's own.
import { connect, type Socket } from 'node:net';
import { copyToPiece, pieceBytes } from '../read-pieces.ts';

/** As much as the kernel keeps of what a process has written to a socket and nobody has read: more is never there. */
const mostAtOnce = 256 * 1024;

/**
 * What everything is read into: one for all containers. A read fills it and what it holds is copied before the next read
 * can begin, in the same turn.
 */
let arriving: Buffer | undefined;

/**
 * Connects to a socket. What comes is given as streams give it, each piece in memory that is nobody else's. After pause()
 * nothing is read until resume() or read(), not even what the stream could still hold.
 */
export function connectOutput(path: string): Socket {
  arriving ??= Buffer.allocUnsafeSlow(mostAtOnce);
  const socket: Socket = connect({
    path,
    onread: {
      buffer: arriving,
      callback: (length, buffer): boolean => {
        let wanted = true;
        // Whoever is given a piece may want no more.
        for (let start = 0; start < length && !socket.destroyed; start += pieceBytes) {
          wanted = socket.push(copyToPiece(buffer.subarray(start, Math.min(start + pieceBytes, length))));
        }
        // Where the stream has enough, false stops the reading; the stream begins it again.
        return wanted;
      },
    },
  });
  return socket;
}
