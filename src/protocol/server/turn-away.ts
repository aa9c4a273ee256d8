// The answer to a client that there is no room for: an error in the framing that it speaks, then the end.
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ResponseMessage } from 'vscode-jsonrpc/node';
import { BabelhostError } from '../../base/errors.ts';
import { ByteQueue } from '../framing/byte-queue.ts';
import { FrameWriter } from '../framing/frame-writer.ts';
import { detectFraming, skipByteOrderMark, type FramingChoice, type FramingName } from '../framing/framing.ts';
import { errorObject } from './responses.ts';

/** How long a client may take to show its framing, which is `headers` else, in milliseconds. */
const showMs = 200;

/** How long it may take to read the answer before its socket is closed, which would fail what it still writes. */
const readMs = 1000;

/** Clients that these times are given to; more get the answer and the end at once. */
const mostWaiting = 64;

let waiting = 0;

/** Turns a client away. Never rejects. */
export async function turnAway(socket: Socket, maximumClients: number, framing: FramingChoice): Promise<void> {
  const patient = waiting < mostWaiting;
  waiting += 1;
  const gone = new Promise<void>((resolve) => {
    // An error is followed by the close.
    socket.on('error', () => undefined).once('close', resolve);
  });
  try {
    const spoken = framing === 'auto' && patient ? await framingOf(socket, gone) : framing;
    const writer = new FrameWriter(socket, () => (spoken === 'lines' ? 'lines' : 'headers'));
    const error = errorObject(
      new BabelhostError(
        'overloaded',
        `The host has ${maximumClients} clients, as many as it takes: try again later, or have it take more (serve --max-clients).`,
        { maximumClients },
      ),
    );
    const answer: ResponseMessage = { jsonrpc: '2.0', id: null, error };
    await writer.write(answer).catch(() => undefined);
    socket.end().resume();
    if (patient) await Promise.race([gone, delay(readMs, undefined, { ref: false })]);
  } finally {
    waiting -= 1;
    socket.destroy();
  }
}

async function framingOf(socket: Socket, gone: Promise<void>): Promise<FramingName> {
  const bytes = new ByteQueue(false);
  let framing: FramingName | undefined;
  const shown = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      if (framing !== undefined) return;
      bytes.push(chunk);
      if (skipByteOrderMark(bytes)) framing = detectFraming(bytes);
      if (framing !== undefined) resolve();
    });
  });
  await Promise.race([shown, gone, delay(showMs, undefined, { ref: false })]);
  socket.removeAllListeners('data');
  return framing ?? 'headers';
}
