// The two clients that are compared: one that speaks to a driver over its pipes, one that speaks to a host over its. Both
// decode each answer as a real client would, with the same code but for the framing.
import type { Readable, Writable } from 'node:stream';

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

abstract class StreamClient {
  protected readonly output: Writable;
  readonly #chunks: Buffer[] = [];
  #length = 0;
  #hasEnded = false;
  /** Requests without an answer yet, by their number, in the order they were sent. */
  protected readonly waiting = new Map<number, Waiting>();

  constructor(input: Readable, output: Writable) {
    this.output = output;
    input.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
      this.receive(chunk);
    });
    input.once('end', () => {
      this.#hasEnded = true;
      for (const { reject } of this.waiting.values()) reject(new Error('the other side has ended'));
    });
  }

  protected get buffered(): number {
    return this.#length;
  }

  protected abstract receive(chunk: Buffer): void;

  /** All that is buffered, as one buffer that stays buffered. */
  protected join(): Buffer {
    const all =
      this.#chunks.length === 1 && this.#chunks[0] !== undefined ? this.#chunks[0] : Buffer.concat(this.#chunks);
    this.#chunks.splice(0, this.#chunks.length, all);
    return all;
  }

  /** Keeps only what follows the first `count` bytes of `all`. */
  protected drop(all: Buffer, count: number): void {
    const rest = all.subarray(count);
    this.#chunks.splice(0, this.#chunks.length, ...(rest.length === 0 ? [] : [rest]));
    this.#length = rest.length;
  }

  protected enqueue(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#hasEnded) reject(new Error('the other side has ended'));
      else this.waiting.set(id, { resolve, reject });
    });
  }
}

/** Speaks the native protocol to one driver. */
export class DriverClient extends StreamClient {
  #asked = 0;
  #answered = 0;

  parse(content: string, hints: object): Promise<unknown> {
    this.#asked += 1;
    const answer = this.enqueue(this.#asked);
    this.output.write(`${JSON.stringify({ content, encoding: 'utf8', ...hints })}\n`);
    return answer;
  }

  protected override receive(chunk: Buffer): void {
    if (!chunk.includes(0x0a)) return;
    const all = this.join();
    const end = all.indexOf(0x0a);
    this.drop(all, end + 1);
    this.#answered += 1;
    this.waiting.get(this.#answered)?.resolve(JSON.parse(all.toString('utf8', 0, end)));
    this.waiting.delete(this.#answered);
  }
}

/** Speaks JSON-RPC to a host; answers are taken by their id. */
export class HostClient extends StreamClient {
  #ids = 0;
  #needed = 0;

  async request(method: string, params: object): Promise<unknown> {
    this.#ids += 1;
    const id = this.#ids;
    const content = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id, method, params }));
    const answer = this.enqueue(id);
    this.output.cork();
    this.output.write(`Content-Length: ${content.length}\r\n\r\n`);
    this.output.write(content);
    this.output.uncork();
    return await answer;
  }

  protected override receive(): void {
    while (this.buffered > 0 && this.buffered >= this.#needed) {
      const all = this.join();
      const head = all.indexOf('\r\n\r\n');
      if (head < 0) return;
      const length = Number(/Content-Length: (\d+)/.exec(all.toString('latin1', 0, head))?.[1]);
      const end = head + 4 + length;
      if (all.length < end) {
        this.#needed = end;
        return;
      }
      this.#needed = 0;
      const message = JSON.parse(all.toString('utf8', head + 4, end)) as {
        id?: number;
        result?: unknown;
        error?: unknown;
      };
      this.drop(all, end);
      if (message.id === undefined) continue;
      const waiting = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      if (message.error !== undefined) waiting?.reject(new Error(JSON.stringify(message.error)));
      else waiting?.resolve(message.result);
    }
  }
}
