// When a client is not read from: while its requests hold too much memory, its answers are unread, or it is ahead of the
// host. This bounds what a client makes the host keep.
import type { Readable, Writable } from 'node:stream';
import type { ClientQueue } from '../../drivers/pool/request-queue.ts';

/** A client with more than this unread, in bytes, gets no instance before it reads. */
const unreadBytes = 64 * 1024 * 1024;

/** A client with this many messages unread as well is not read from either: it might ask without end. */
const unreadMessages = 1000;

/** A client whose requests hold more than this, in bytes, is not read from until some are answered. */
const askedBytes = 256 * 1024 * 1024;

/** What a request holds besides its source, in bytes or nearly so; and one whose source is a file that is yet to be read. */
const requestBytes = 4 * 1024;
const fileBytes = 256 * 1024;

type Reason = 'asks' | 'leaves unread' | 'is ahead';

export class BackPressure implements ClientQueue {
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #onPaused: (is: boolean) => void;
  /** Why the client is not read from now: each reason suffices. */
  readonly #full = new Set<Reason>();
  /** By the requests in flight. */
  #heldBytes = 0;

  /**
   * @param on.room called when the client has read its unread answers
   * @param on.paused called when the client is not read from any more, and when it is again
   */
  constructor(input: Readable, output: Writable, on: { room: () => void; paused: (is: boolean) => void }) {
    this.#input = input;
    this.#output = output;
    this.#onPaused = on.paused;
    output.on('drain', () => {
      this.#stopReading('leaves unread', false);
      on.room();
    });
  }

  get backedUp(): boolean {
    return this.#output.writableLength > unreadBytes;
  }

  /** Notes a message of the client, which has so many messages unread. */
  read(unread: number): void {
    if (this.backedUp && unread > unreadMessages) this.#stopReading('leaves unread', true);
  }

  /** Notes whether more messages were read than one turn of the event loop may have. */
  ahead(is: boolean): void {
    this.#stopReading('is ahead', is);
  }

  /** Notes the bytes that a request holds from now on; a negative number releases them. */
  hold(bytes: number): void {
    this.#heldBytes += bytes;
    this.#stopReading('asks', this.#heldBytes > askedBytes);
  }

  #stopReading(reason: Reason, full: boolean): void {
    const before = this.#full.size;
    if (full) this.#full.add(reason);
    else if (before > 0) this.#full.delete(reason);
    const paused = this.#full.size > 0;
    if (paused === before > 0) return;
    if (paused) this.#input.pause();
    else this.#input.resume();
    this.#onPaused(paused);
  }
}

/** What a request holds while it is worked on, in bytes or nearly so. */
export function heldBytes({ content, uri, uris }: Readonly<Record<string, unknown>>): number {
  // As text, of up to two bytes for each character, and in the line for the driver.
  if (typeof content === 'string') return requestBytes + 2 * content.length + Buffer.byteLength(content);
  if (typeof uri === 'string') return fileBytes;
  return requestBytes + (Array.isArray(uris) ? 100 * uris.length : 0);
}
