// Who uses the soaked host: people, pipelines, clients that fail in every way that they have, and what kills drivers. Each
// enters in the books what it asked and what came of it.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { hashOf, type Books } from './books.ts';
import { SoakClient, type Outcome } from './client.ts';
import type { SoakedHost } from './host.ts';
import type { Random } from './random.ts';

/** As the soak's driver has them. */
const faults = [
  ...['exit', 'abort', 'hang', 'garbage', 'half', 'memory', 'noise', 'leak', 'fatal', 'slow', 'late'],
  ...['twice', 'unasked'],
];

export interface TrafficOptions {
  readonly host: SoakedHost;
  readonly books: Books;
  readonly random: Random;
  /** When it is over, in milliseconds of performance.now(). */
  readonly stopAt: number;
  /** The time of each request. */
  readonly timeoutMs: number;
  /** By when a request must have been answered, or is lost. */
  readonly patienceMs: number;
}

/**
 * Of each day, the last third is without interactive requests: drivers are then written the next file of a folder behind the
 * one that they are at. In milliseconds.
 */
const dayMs = 15_000;
const eveningMs = 10_000;

export class Traffic {
  readonly #options: TrafficOptions;
  #made = 0;
  /** Their URIs, and the hashes of what is in them. */
  #files = new Map<string, string>();

  constructor(options: TrafficOptions) {
    this.#options = options;
  }

  /** Everybody at once, to the end. */
  async run(folder: string): Promise<void> {
    await this.#writeFiles(folder, 300);
    await Promise.all([
      ...Array.from({ length: 3 }, () => this.#interactive()),
      ...Array.from({ length: 3 }, () => this.#busy()),
      ...Array.from({ length: 2 }, () => this.#folder()),
      ...Array.from({ length: 2 }, () => this.#hostile()),
      this.#vanishing(),
      this.#cancelling(),
      this.#deaf(),
      this.#killer(),
      this.#updating(),
    ]);
  }

  /** Has the host do a little of everything that it does without faults. */
  async warmUp(): Promise<void> {
    const client = await SoakClient.open(this.#options.host.socket, { sent: 0, doubled: 0 });
    const times = { timeoutMs: 60_000, queueTimeoutMs: 60_000 };
    const ask = () => client.request('parse', { content: this.#source(), language: 'soak', ...times }, 120_000);
    await Promise.all(Array.from({ length: 2000 }, ask));
    client.socket.destroy();
  }

  get #going(): boolean {
    return performance.now() < this.#options.stopAt;
  }

  /** Waits while it is night, in which only folders are parsed; whether there is still something to do. */
  async #awake(): Promise<boolean> {
    const since = performance.now() % dayMs;
    if (since >= eveningMs) await sleep(dayMs - since);
    return this.#going;
  }

  #source(head = ''): string {
    const { random } = this.#options;
    return `${head}\nsource ${random.seed} ${++this.#made} ${'text '.repeat(random.whole(200))}`;
  }

  #open(): Promise<SoakClient> {
    return SoakClient.open(this.#options.host.socket, this.#options.books);
  }

  #pause(ms: number): Promise<void> {
    return sleep(this.#options.random.next(ms));
  }

  async #parse(client: SoakClient, content: string): Promise<Outcome & { elapsedMs: number }> {
    const { books, timeoutMs, patienceMs } = this.#options;
    const outcome = await client.request('parse', { content, language: 'soak', timeoutMs }, patienceMs);
    books.enter(outcome, content);
    return outcome;
  }

  /** A person: one request after the other, with pauses. */
  async #interactive(): Promise<void> {
    const client = await this.#open();
    while (await this.#awake()) {
      const outcome = await this.#parse(client, this.#source());
      if (outcome.kind === 'result') this.#options.books.interactiveMs.push(outcome.elapsedMs);
      await this.#pause(50);
    }
    client.socket.destroy();
  }

  /** A pipeline: many requests in flight, some with large trees. */
  async #busy(): Promise<void> {
    const { random } = this.#options;
    const client = await this.#open();
    while (await this.#awake()) {
      const burst = 1 + random.whole(60);
      await Promise.all(
        Array.from({ length: burst }, () =>
          this.#parse(client, this.#source(random.next() < 0.02 ? '@size 4000000' : '')),
        ),
      );
      await this.#pause(300);
    }
    client.socket.destroy();
  }

  async #writeFiles(folder: string, number: number): Promise<void> {
    for (let index = 0; index < number; index += 1) {
      const content = this.#source();
      const file = path.join(folder, `file-${index}`);
      await writeFile(file, content);
      this.#files.set(pathToFileURL(file).href, hashOf(content));
    }
  }

  /** parse/files: each file must come once, with its own tree or an error. */
  async #folder(): Promise<void> {
    const { books, random, timeoutMs } = this.#options;
    const client = await this.#open();
    while (this.#going) {
      const chosen = [...this.#files.keys()].filter(() => random.next() < 0.5);
      const left = new Set(chosen);
      const outcome = await client.request(
        'parse/files',
        { uris: chosen, language: 'soak', timeoutMs },
        chosen.length * timeoutMs,
        (value) => {
          for (const result of value as {
            uri: string;
            uast?: { hash: string };
            error?: { data: { kind: string } };
          }[]) {
            books.files += 1;
            if (!left.delete(result.uri)) books.doubled += 1;
            if (result.error !== undefined) books.fails(`${result.error.data.kind} (of a file)`);
            else if (result.uast?.hash !== this.#files.get(result.uri)) books.wrong += 1;
          }
        },
      );
      books.enterOther(outcome);
      if (outcome.kind === 'result') books.lost += left.size;
      await this.#pause(500);
    }
    client.socket.destroy();
  }

  /** Sources that make drivers fail, some of them again and again. */
  async #hostile(): Promise<void> {
    const { books, random } = this.#options;
    const client = await this.#open();
    let again = this.#source('@fault exit');
    while (await this.#awake()) {
      const fault = random.pick(faults);
      if (fault === 'memory' && random.next() < 0.7) continue;
      books.injects(fault);
      const content = random.next() < 0.1 ? again : this.#source(`@fault ${fault}`);
      if (random.next() < 0.1) again = content;
      await this.#parse(client, content);
      await this.#pause(1000);
    }
    client.socket.destroy();
  }

  /** Clients that leave in the middle. */
  async #vanishing(): Promise<void> {
    const { books, random } = this.#options;
    while (await this.#awake()) {
      const client = await this.#open();
      const requests = Array.from({ length: 1 + random.whole(30) }, () => this.#parse(client, this.#source()));
      await this.#pause(100);
      client.socket.destroy();
      books.injects('vanished client');
      await Promise.all(requests);
      await this.#pause(500);
    }
  }

  async #cancelling(): Promise<void> {
    const { books, random } = this.#options;
    const client = await this.#open();
    while (await this.#awake()) {
      const id = client.nextId;
      const request = this.#parse(client, this.#source(random.next() < 0.3 ? '@fault late' : ''));
      await this.#pause(10);
      client.cancel(id);
      books.injects('cancelled request');
      await request;
      await this.#pause(200);
    }
    client.socket.destroy();
  }

  /** A client that asks for much and reads nothing of it, for a while. */
  async #deaf(): Promise<void> {
    const { books, random, stopAt } = this.#options;
    while (await this.#awake()) {
      const client = await this.#open();
      client.socket.pause();
      const requests = Array.from({ length: 40 }, () => this.#parse(client, this.#source('@size 3000000')));
      books.injects('client that does not read');
      await sleep(Math.min(4000, Math.max(stopAt - performance.now(), 0)));
      // One in two reads at last: then each must have had its answer or its error.
      if (random.next() < 0.5) client.socket.destroy();
      else client.socket.resume();
      await Promise.all(requests);
      client.socket.destroy();
    }
  }

  /** Another version of the driver, and back: what is in flight finishes on the old one, and nothing fails of it. */
  async #updating(): Promise<void> {
    const { books, host, random, patienceMs } = this.#options;
    const client = await this.#open();
    for (let next: 0 | 1 = 1; this.#going; next = next === 0 ? 1 : 0) {
      await sleep(1000 + random.next(5000));
      const update = { reference: host.images[next], update: true };
      const outcome = await client.request('driver/install', update, patienceMs);
      books.enterOther(outcome, ' (of an update)');
      books.injects('update of the driver');
    }
    client.socket.destroy();
  }

  /** SIGKILL and SIGSTOP for whatever runs in the containers. */
  async #killer(): Promise<void> {
    const { books, host, random } = this.#options;
    while (await this.#awake()) {
      await sleep(300 + random.next(2500));
      const pids = await host.driverProcesses();
      if (pids.length === 0) continue;
      const signal = random.next() < 0.7 ? 'SIGKILL' : 'SIGSTOP';
      try {
        process.kill(random.pick(pids), signal);
        books.injects(signal);
      } catch {
        // It has ended by itself meanwhile.
      }
    }
  }
}
