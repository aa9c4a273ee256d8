// Requests to one registry over HTTP: authentication, redirects, retries.
//
// With undici rather than oci-registry-client: that has no cancelling, no limits on what it reads into memory, no retries,
// resuming, proxies or private authorities, decodes manifests before they are verified, and writes tokens to stderr.
import { setTimeout as sleep } from 'node:timers/promises';
import { errors, request } from 'undici';
import { BabelhostError, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { discard, headerOf, retryAfter, type Answer } from './answer.ts';
import { Authorization } from './authorization.ts';
import { namedHosts, type Endpoint } from './configuration.ts';
import { Connections } from './connection.ts';
import {
  badTarget,
  deepCode,
  isPassing,
  passing,
  refusalOf,
  unnamedTarget,
  unreachable,
  type Asked,
} from './failures.ts';
import type { Credentials, RegistrySettings } from './settings.ts';
import { apiHost, isLoopback, TargetError, Targets } from './targets.ts';

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Called for each try. */
  readonly body?: () => string | Buffer | AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
  /** No retries: the caller does them, as it knows what has been done. */
  readonly once?: boolean;
  /** Needs https, or a configuration that allows http, even if the registry speaks http. */
  readonly secret?: boolean;
}

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

const redirects: readonly number[] = [301, 302, 303, 307, 308];
const redirectLimit = 5;

export interface RegistryOptions {
  readonly endpoint: Endpoint;
  readonly settings: RegistrySettings;
  readonly credentials: Credentials | undefined;
  /** `pull`, or `pull,push`. */
  readonly actions: string;
  readonly logger: Logger;
}

/** Requests about one repository. */
export class Registry implements AsyncDisposable {
  readonly repository: string;
  readonly host: string;
  readonly settings: RegistrySettings;
  readonly #options: RegistryOptions;
  readonly #targets: Targets;
  readonly #connections: Connections;
  /** Where the registry is, found out by the first request. */
  #base: Promise<URL> | undefined;
  #encrypted = false;
  readonly #authorization: Authorization;

  private constructor(options: RegistryOptions, targets: Targets, connections: Connections) {
    this.repository = options.endpoint.repository;
    this.host = options.endpoint.host;
    this.settings = options.settings;
    this.#options = options;
    this.#targets = targets;
    this.#connections = connections;
    const { credentials, actions } = options;
    this.#authorization = new Authorization({
      host: this.host,
      repository: this.repository,
      credentials,
      actions,
      answerTimeoutMs: this.settings.answerTimeoutMs,
      send: ({ url, method, headers, body }, signal) => {
        const options = { headers, signal, secret: true, ...(body === undefined ? {} : { body: () => body }) };
        return this.#persist(method, url, options);
      },
    });
  }

  static async open(options: RegistryOptions): Promise<Registry> {
    const { endpoint, settings } = options;
    const targets = new Targets([endpoint, ...(await namedHosts(settings.configurationFiles))]);
    return new Registry(options, targets, await Connections.open(endpoint, targets, settings));
  }

  /**
   * Makes a request.
   * @param place - an absolute URL (of an upload), or a path below /v2/REPOSITORY/.
   * @returns the answer, of any status, after authentication, redirects and retries.
   * @throws BabelhostError `imageUnauthorized` if no challenge can be met; `imageNotFound` or `timeout` with data.reason
   * `unreachable`; `imageInvalid` for a redirect that is refused.
   */
  async request(method: Method, place: string | URL, options: RequestOptions = {}): Promise<Answer> {
    const base = await this.#locate(options.signal);
    const url = place instanceof URL ? place : new URL(`/v2/${this.repository}/${place}`, base);
    const used = this.#authorization.for(url);
    const answer = await this.#persist(method, url, options);
    if (answer.status !== 401 || !(await this.#authorization.meet(answer, used, options.signal))) return answer;
    return await this.#persist(method, url, options);
  }

  /** The error for an answer with an unexpected status; reads the registry's message from it. */
  async refusal(answer: Answer, what: string): Promise<BabelhostError> {
    return refusalOf(answer, what, this.#asked());
  }

  /** Waits before a transfer that broke off is tried again, longer with each failure in a row. */
  async backOff(failures: number, signal: AbortSignal | undefined): Promise<void> {
    const { backOffMs, maxBackOffMs } = this.settings;
    const wait = Math.min(backOffMs * 2 ** (failures - 1), maxBackOffMs);
    await sleep(wait, undefined, signal === undefined ? {} : { signal });
  }

  /** The error for a body that cannot be read. */
  failure(error: unknown, answer: Answer): BabelhostError {
    return unreachable(this.#asked(), error, answer.url);
  }

  #asked(): Asked {
    const { credentials, settings } = this.#options;
    const { host, repository } = this;
    const { retries, answerTimeoutMs } = settings;
    return { host, repository, withCredentials: credentials !== undefined, retries, answerTimeoutMs };
  }

  /** Where the registry is. http is tried only on this machine, or where the configuration says insecure. */
  async #locate(signal: AbortSignal | undefined): Promise<URL> {
    this.#base ??= this.#probe(signal);
    try {
      const base = await this.#base;
      this.#encrypted = base.protocol === 'https:';
      this.#authorization.locate(base);
      return base;
    } catch (error) {
      this.#base = undefined;
      throw error;
    }
  }

  async #probe(signal: AbortSignal | undefined): Promise<URL> {
    const { host, insecure } = this.#options.endpoint;
    const secure = new URL(`https://${apiHost(host)}`);
    const plain = new URL(`http://${apiHost(host)}`);
    // On this machine http is no risk. A server that speaks TLS answers it with 400, or not at all.
    if (isLoopback(host)) return (await this.#answers(plain, signal)) ? plain : secure;
    if (!insecure) return secure;
    return (await this.#answers(secure, signal)) ? secure : plain;
  }

  /** Whether an HTTP server answers at an address. */
  async #answers(base: URL, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      const answer = await this.#once('GET', new URL('/v2/', base), { signal });
      await discard(answer);
      return answer.status !== 400;
    } catch (error) {
      signal?.throwIfAborted();
      // No server is there, with TLS or without.
      if (deepCode(error) === 'ECONNREFUSED') throw unreachable(this.#asked(), error, base);
      return false;
    }
  }

  /** One request, with retries. */
  async #persist(method: Method, url: URL, options: RequestOptions): Promise<Answer> {
    const { retries, backOffMs, maxBackOffMs } = this.#options.settings;
    const { signal } = options;
    for (let attempt = 0; ; attempt += 1) {
      let wait = Math.min(backOffMs * 2 ** attempt, maxBackOffMs);
      try {
        const answer = await this.#redirected(method, url, options);
        if (!passing.includes(answer.status) || options.once === true || attempt >= retries) return answer;
        wait = Math.max(wait, retryAfter(answer) ?? 0);
        if (wait > maxBackOffMs) return answer;
        await discard(answer);
        const { status } = answer;
        this.#options.logger.debug({ registry: this.host, status, wait, attempt }, 'registry asks to wait');
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof BabelhostError) throw error;
        if (!isPassing(error) || options.once === true || attempt >= retries)
          throw unreachable(this.#asked(), error, url);
        const cause = messageOf(error);
        this.#options.logger.debug({ registry: this.host, error: cause, wait, attempt }, 'connection failed');
      }
      // Spread, so that clients that were refused together do not retry together.
      await sleep(wait * (0.75 + Math.random() / 2), undefined, signal === undefined ? {} : { signal });
    }
  }

  /** One request and the redirects it leads to. Credentials go to the registry's own origin and to no other. */
  async #redirected(method: Method, start: URL, options: RequestOptions): Promise<Answer> {
    let url = start;
    let { headers } = options;
    for (let step = 0; step <= redirectLimit; step += 1) {
      const answer = await this.#once(method, url, { ...options, ...(headers === undefined ? {} : { headers }) });
      const location = redirects.includes(answer.status) ? headerOf(answer, 'location') : undefined;
      if (location === undefined || (method !== 'GET' && method !== 'HEAD')) return answer;
      await discard(answer);
      const next = URL.parse(location, url.href);
      if (next === null || !/^https?:$/.test(next.protocol))
        throw badTarget(this.#asked(), location, 'malformed', 'it is no address');
      if (next.origin !== url.origin && headers !== undefined) {
        headers = Object.fromEntries(Object.entries(headers).filter(([header]) => header !== 'authorization'));
      }
      url = next;
    }
    throw badTarget(this.#asked(), url.href, 'tooMany', `it is one of more than ${redirectLimit}`);
  }

  /** One request, refused if the registry may not send us to its URL. */
  async #once(method: Method, url: URL, options: RequestOptions): Promise<Answer> {
    try {
      this.#targets.check(url, this.#encrypted || options.secret === true);
      return await this.#send(method, url, options);
    } catch (error) {
      throw error instanceof TargetError ? unnamedTarget(this.#asked(), url, error) : error;
    }
  }

  async #send(method: Method, url: URL, { headers, body, signal }: RequestOptions): Promise<Answer> {
    const authorization = this.#authorization.for(url);
    const { connectTimeoutMs, answerTimeoutMs } = this.settings;
    const late = new AbortController();
    // undici's timeout begins anew at each interim answer (1xx). A body may take its time to send.
    const timer = setTimeout(() => {
      if (body === undefined) late.abort(new errors.HeadersTimeoutError());
    }, connectTimeoutMs + answerTimeoutMs);
    const response = await request(url, {
      method,
      dispatcher: this.#connections.for(url),
      headers: {
        'user-agent': 'babelhost',
        // Digests are of the bytes as they are stored.
        'accept-encoding': 'identity',
        ...headers,
        ...(authorization === undefined ? {} : { authorization }),
      },
      ...(body === undefined ? {} : { body: body() as never }),
      signal: signal === undefined ? late.signal : AbortSignal.any([signal, late.signal]),
    }).finally(() => {
      clearTimeout(timer);
    });
    // Destroying a body before its end emits an error, which needs a listener.
    response.body.on('error', () => undefined);
    return { status: response.statusCode, headers: response.headers, body: response.body, url };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections[Symbol.asyncDispose]();
  }
}
