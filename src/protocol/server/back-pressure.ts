// When a client is not read from: while it asks for more than is held for it, leaves its answers unread, or is ahead of
// the host. What a client makes the host keep is bounded by this.
import type { Readable, Writable } from 'node:stream';
import type { ClientQueue } from '../../drivers/pool/request-queue.ts';

/** A client that has left more than this unread, in bytes, is not served before it reads. */
const unreadBytes = 64 * 1024 * 1024;

/** A client that has left this many messages unread as well is not read from either: it might ask without end. */
const unreadMessages = 1000;

/** Requests of more bytes than this at once, and the client is not read from until some are answered. */
const askedBytes = 256 * 1024 * 1024;

/** What a request costs besides its source, in bytes or nearly so; and one whose source is a file that is yet to be read. */
const requestBytes = 4 * 1024;
const fileBytes = 256 * 1024;

type Reason = 'asks' | 'leaves unread' | 'is ahead';

export class BackPressure implements ClientQueue {
  readonly #input: Readable;
  readonly #output: Writable;
  /** Why the client is not read from now: each reason suffices. */
  readonly #full = new Set<Reason>();
  /** Of the requests that are being worked on. */
  #heldBytes = 0;

  /** @param onRoom called when a client that had left answers unread has read them */
  constructor(input: Readable, output: Writable, onRoom: () => void) {
    this.#input = input;
    this.#output = output;
    output.on('drain', () => {
      this.#stopReading('leaves unread', false);
      onRoom();
    });
  }

  get backedUp(): boolean {
    return this.#output.writableLength > unreadBytes;
  }

  /** Notes a message of the client, who has left so many unread. */
  read(unread: number): void {
    if (this.backedUp && unread > unreadMessages) this.#stopReading('leaves unread', true);
  }

  /** Notes that more messages lie read than are taken up in one turn, or that none do any more. */
  ahead(is: boolean): void {
    this.#stopReading('is ahead', is);
  }

  /** Notes what a request holds from now on; a negative number, what it holds no more. */
  hold(bytes: number): void {
    this.#heldBytes += bytes;
    this.#stopReading('asks', this.#heldBytes > askedBytes);
  }

  #stopReading(reason: Reason, full: boolean): void {
    const before = this.#full.size;
    if (full) this.#full.add(reason);
    else if (before > 0) this.#full.delete(reason);
    if (before === 0 && full) this.#input.pause();
    else if (before > 0 && this.#full.size === 0) this.#input.resume();
  }
}

/** What a request holds while it is worked on, in bytes or nearly so. */
export function heldBytes({ content, uri, uris }: Readonly<Record<string, unknown>>): number {
  // As text, of up to two bytes for each character, and in the line for the driver.
  if (typeof content === 'string') return requestBytes + 2 * content.length + Buffer.byteLength(content);
  if (typeof uri === 'string') return fileBytes;
  return requestBytes + (Array.isArray(uris) ? 100 * uris.length : 0);
}
