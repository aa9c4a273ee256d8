// Metrics for Prometheus, named as in Babelfish's server, on a port of the loopback interface. What pools count is read from
// them at each scrape; the rest is counted here. Loaded only where metrics are on.
import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { DriverObserver, ObservedParse, ParseObserver } from '../drivers/observer.ts';
import type { Pool } from '../drivers/pool/pool.ts';
import { BabelhostError, messageOf, systemErrorCode } from '../base/errors.ts';

const seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const bytes = [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

export class Metrics implements ParseObserver, DriverObserver, AsyncDisposable {
  readonly #registry = new Registry();
  readonly #parses: Counter<'lang' | 'image'>;
  readonly #parseErrors: Counter<'lang' | 'image'>;
  readonly #parseSeconds: Histogram<'lang' | 'image'>;
  readonly #parseBytes: Histogram<'lang' | 'image'>;
  readonly #installs: Counter<'lang' | 'image'>;
  readonly #removals: Counter<'lang' | 'image'>;
  readonly #detections: Counter;
  readonly #languages: Counter<'lang'>;
  readonly #detectionSeconds: Histogram;
  #server: Server | undefined;

  /** @param pools returns the pools there are */
  constructor(pools: () => readonly Pool[]) {
    const registers = [this.#registry];
    const labelNames = ['lang', 'image'] as const;
    const counter = (name: string, help: string) => new Counter({ name, help, labelNames, registers });
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, labelNames, buckets, registers });
    this.#parses = counter('bblfshd_parse_total', 'Parse requests.');
    this.#parseErrors = counter('bblfshd_parse_errors', 'Parse requests that failed.');
    this.#parseSeconds = histogram('bblfshd_parse_seconds', 'Time of parse requests, from arrival to answer.', seconds);
    this.#parseBytes = histogram('bblfshd_parse_bytes', 'Sizes of the sources that were parsed.', bytes);
    this.#installs = counter('bblfshd_driver_install_total', 'Drivers installed or updated.');
    this.#removals = counter('bblfshd_driver_remove_total', 'Drivers removed.');
    this.#detections = new Counter({ name: 'bblfshd_enry_total', help: 'Detections of a language.', registers });
    this.#languages = new Counter({
      name: 'bblfshd_enry_langs',
      help: 'Languages detected.',
      labelNames: ['lang'],
      registers,
    });
    this.#detectionSeconds = new Histogram({
      name: 'bblfshd_enry_seconds',
      help: 'Time to detect a language.',
      buckets: [0.00001, 0.0001, 0.001, 0.01, 0.1],
      registers,
    });
    const counted = (name: string, help: string, value: (pool: Pool) => number): void => {
      new Counter({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset();
          for (const pool of pools()) this.inc({ lang: pool.language, image: pool.digest }, value(pool));
        },
      });
    };
    const gauge = (name: string, help: string, value: (pool: Pool) => number): void => {
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset();
          for (const pool of pools()) this.set({ lang: pool.language, image: pool.digest }, value(pool));
        },
      });
    };
    counted('bblfshd_driver_spawn', 'Instances started.', ({ counts }) => counts.exited + counts.instances);
    counted('bblfshd_driver_spawn_errors', 'Instances that could not be started.', ({ startErrors }) => startErrors);
    counted('bblfshd_driver_kill', 'Instances that have ended.', ({ counts }) => counts.exited);
    gauge('bblfshd_driver_scaling_total', 'Instances that run.', ({ counts }) => counts.instances);
    gauge('bblfshd_driver_scaling_idle', 'Instances without work.', ({ counts }) => counts.instances - counts.busy);
    gauge('bblfshd_driver_scaling_load', 'Requests that wait for an instance.', ({ counts }) => counts.waiting);
    gauge('bblfshd_driver_scaling_target', 'Instances wanted.', ({ counts }) => counts.wanted);
  }

  parsed({ language, image, milliseconds, contentBytes, failed }: ObservedParse): void {
    const labels = { lang: language ?? '', image: image ?? '' };
    this.#parses.inc(labels);
    if (failed) this.#parseErrors.inc(labels);
    this.#parseSeconds.observe(labels, milliseconds / 1000);
    if (contentBytes !== undefined) this.#parseBytes.observe(labels, contentBytes);
  }

  detected(language: string | undefined, milliseconds: number): void {
    this.#detections.inc();
    this.#languages.inc({ lang: language ?? '' });
    this.#detectionSeconds.observe(milliseconds / 1000);
  }

  installed(language: string, image: string): void {
    this.#installs.inc({ lang: language, image });
  }

  removed(language: string, image: string): void {
    this.#removals.inc({ lang: language, image });
  }

  /** The metrics in Prometheus's text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /**
   * Serves them at http://127.0.0.1:PORT/metrics.
   * @param port 0 for any that is free
   * @returns the port
   * @throws BabelhostError `conflict` where the port cannot be had
   */
  async listen(port: number): Promise<number> {
    const server = createServer(({ method, url }, response) => {
      if (url !== '/metrics') respond(response, 404, 'The metrics are at /metrics.\n');
      else if (method !== 'GET' && method !== 'HEAD') respond(response, 405, 'GET it.\n');
      else {
        this.text().then(
          (text) => {
            respond(response, 200, text, this.#registry.contentType);
          },
          (error: unknown) => {
            respond(response, 500, `${messageOf(error)}\n`);
          },
        );
      }
    });
    // Enough for a scraper or two, and a person.
    server.maxConnections = 16;
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening');
    } catch (error) {
      throw new BabelhostError(
        'conflict',
        `Metrics cannot be served at 127.0.0.1:${port} (${messageOf(error)}); choose another port (--metrics-port).`,
        { port, code: systemErrorCode(error) },
        { cause: error },
      );
    }
    server.unref();
    this.#server = server;
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

function respond(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type }).end(text);
}
