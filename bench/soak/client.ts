// A client that keeps books: what it sent, what came back, and what came back that it had not asked for.
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { FrameReader } from '../../src/protocol/framing/frame-reader.ts';

export type Outcome =
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'error'; readonly error: string }
  /** No answer came in a time by which one must have come. */
  | { readonly kind: 'lost' }
  /** The client left before its answer could come. */
  | { readonly kind: 'abandoned' };

export interface Sent {
  sent: number;
  /** Answers to requests that had been answered before. */
  doubled: number;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: { readonly token?: unknown; readonly value?: unknown };
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly data?: { readonly kind?: string } };
}

export class SoakClient {
  readonly socket: Socket;
  readonly #books: Sent;
  readonly #waiting = new Map<number, (outcome: Outcome) => void>();
  readonly #partial = new Map<string, (value: unknown) => void>();
  #ids = 0;

  private constructor(socket: Socket, books: Sent) {
    this.socket = socket;
    this.#books = books;
    socket.on('error', () => undefined);
    socket.once('close', () => {
      for (const settle of [...this.#waiting.values()]) settle({ kind: 'abandoned' });
    });
    new FrameReader(socket, { messageBytes: 2 ** 30, onFault: () => socket.destroy() }).listen((message) => {
      this.#receive(message as unknown as Message);
    });
  }

  static async open(file: string, books: Sent): Promise<SoakClient> {
    const socket = connect(file);
    await once(socket, 'connect');
    return new SoakClient(socket, books);
  }

  /** @param patienceMs a request that is not answered by then is lost */
  async request(
    method: string,
    params: object,
    patienceMs: number,
    onPartial?: (value: unknown) => void,
  ): Promise<Outcome & { readonly elapsedMs: number; readonly id: number }> {
    const id = ++this.#ids;
    const token = `partial-${id}`;
    if (onPartial !== undefined) this.#partial.set(token, onPartial);
    const startedAt = performance.now();
    const outcome = await new Promise<Outcome>((resolve) => {
      const timer = setTimeout(() => {
        settle({ kind: 'lost' });
      }, patienceMs);
      const settle = (settled: Outcome): void => {
        clearTimeout(timer);
        this.#waiting.delete(id);
        resolve(settled);
      };
      this.#waiting.set(id, settle);
      this.#books.sent += 1;
      const more = onPartial === undefined ? {} : { partialResultToken: token };
      this.#write({ id, method, params: { ...params, ...more } });
    });
    this.#partial.delete(token);
    return { ...outcome, elapsedMs: performance.now() - startedAt, id };
  }

  /** The id that the next request will have. */
  get nextId(): number {
    return this.#ids + 1;
  }

  cancel(id: number): void {
    this.#write({ method: '$/cancelRequest', params: { id } });
  }

  #write(message: object): void {
    const content = Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }));
    this.socket.write(`Content-Length: ${content.length}\r\n\r\n`);
    this.socket.write(content);
  }

  #receive({ id, method, params, result, error }: Message): void {
    if (method !== undefined) {
      this.#partial.get(String(params?.token))?.(params?.value);
      return;
    }
    const settle = id === undefined ? undefined : this.#waiting.get(id);
    if (settle === undefined) this.#books.doubled += 1;
    else if (error === undefined) settle({ kind: 'result', result });
    else settle({ kind: 'error', error: error.data?.kind ?? String(error.code) });
  }
}
