// One registry over HTTP: authenticates, follows redirects, and tries again what may pass.
//
// Node's own HTTP client (undici) and this, in place of oci-registry-client: that has no cancelling, no bounds on what
// it reads into memory, no retries, resuming, proxies or private authorities, decodes a manifest before its digest can
// be taken, and prints a token service's answer to stderr. What would be left of it is a parser of one header.
import { setTimeout as sleep } from 'node:timers/promises';
import { request, type Dispatcher } from 'undici';
import { BabelhostError, messageOf, systemErrorCode } from '../../errors.ts';
import type { Logger } from '../../log.ts';
import { basic, parseChallenges, tokenRequest, type Challenge } from './authentication.ts';
import { openConnections, isLoopback } from './connection.ts';
import type { Endpoint } from './configuration.ts';
import type { Credentials, RegistrySettings } from './settings.ts';

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** A function, as a request that is tried again needs its body again. */
  readonly body?: () => string | Buffer | AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
  /** Not tried again: the caller does that, as it knows what has been done. */
  readonly once?: boolean;
}

/** A registry's answer. The body must be read or destroyed. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Dispatcher.ResponseData['body'];
  /** After redirects. */
  readonly url: URL;
}

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

const redirects: readonly number[] = [301, 302, 303, 307, 308];
const redirectLimit = 5;

/** Statuses that say "not now". */
const passing: readonly number[] = [408, 429, 500, 502, 503, 504];

/** What goes wrong on a connection that may go right on the next. */
const passingCodes: readonly string[] = [
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
];

/** An answer of a token service, or of an error, is short. */
const answerLimit = 1024 ** 2;

export interface RegistryOptions {
  readonly endpoint: Endpoint;
  readonly settings: RegistrySettings;
  readonly credentials: Credentials | undefined;
  /** `pull`, or `pull,push`. */
  readonly actions: string;
  readonly logger: Logger;
}

/** Requests to the registry that has one repository. */
export class Registry implements AsyncDisposable {
  readonly repository: string;
  readonly host: string;
  readonly #options: RegistryOptions;
  readonly #dispatcher: Dispatcher;
  /** Where the registry is: its scheme is found out at the first request. */
  #base: Promise<URL> | undefined;
  /** Of #base, once it is known. */
  #origin: string | undefined;
  #authorization: string | undefined;
  #authenticating: Promise<void> | undefined;

  private constructor(options: RegistryOptions, dispatcher: Dispatcher) {
    this.repository = options.endpoint.repository;
    this.host = options.endpoint.host;
    this.#options = options;
    this.#dispatcher = dispatcher;
  }

  static async open(options: RegistryOptions): Promise<Registry> {
    const { host, insecure } = options.endpoint;
    return new Registry(options, await openConnections(host, insecure, options.settings));
  }

  /**
   * Makes a request.
   * @param place - an absolute URL (of an upload), or a path below /v2/REPOSITORY/.
   * @returns the answer with whatever status the registry gave at last, once it is authenticated and redirected.
   * @throws BabelhostError `imageUnauthorized` if the registry refuses; `imageNotFound` with data.reason `unreachable`;
   * `overloaded` if it asks to wait longer than it is tried.
   */
  async request(method: Method, place: string | URL, options: RequestOptions = {}): Promise<Answer> {
    const base = await this.#locate(options.signal);
    const url = place instanceof URL ? place : new URL(`/v2/${this.repository}/${place}`, base);
    let answer = await this.#persist(method, url, options);
    if (answer.status === 401) {
      const used = this.#authorization;
      const challenges = await this.#challengesOf(answer);
      // Another request may have got a token meanwhile.
      if (used === this.#authorization) {
        this.#authenticating ??= this.#authenticate(challenges, options.signal).finally(() => {
          this.#authenticating = undefined;
        });
      }
      await this.#authenticating;
      answer = await this.#persist(method, url, options);
    }
    return answer;
  }

  /** The error for an answer that is not what was hoped for; reads the registry's own words from it. */
  async refusal(answer: Answer, what: string): Promise<BabelhostError> {
    const { status } = answer;
    const words = await registryWords(answer);
    const said = words === '' ? '' : ` The registry says: ${words}`;
    const data = {
      registry: this.host,
      repository: this.repository,
      status,
      ...(words === '' ? {} : { message: words }),
    };
    if (status === 401 || status === 403) {
      const hint =
        this.#options.credentials === undefined
          ? `it may not exist, or need credentials: log in with 'docker login ${this.host}', 'podman login' or 'skopeo login'`
          : 'the credentials are not accepted, or do not reach that far';
      return new BabelhostError('imageUnauthorized', `${this.host} refuses ${what} (${status}): ${hint}.${said}`, data);
    }
    if (status === 404) {
      return new BabelhostError(
        'imageNotFound',
        `${this.host} does not have ${what}: look for a slip in its name or tag.${said}`,
        data,
      );
    }
    if (status === 429) {
      return new BabelhostError(
        'overloaded',
        `${this.host} asks for fewer requests (429) and was asked for ${what} ${this.#options.settings.retries + 1} times: try again later.${said}`,
        {
          ...data,
          reason: 'tooManyRequests',
          retryAfterMs: retryAfter(answer) ?? null,
        },
      );
    }
    return new BabelhostError(
      'imageNotFound',
      `${this.host} failed to give ${what} (status ${status}): try again later, or ask whoever runs it.${said}`,
      {
        ...data,
        reason: 'registryFailed',
      },
    );
  }

  /** Finds out whether the registry speaks https; http is tried only on this machine or where insecure is allowed. */
  async #locate(signal: AbortSignal | undefined): Promise<URL> {
    this.#base ??= this.#probe(signal);
    try {
      const base = await this.#base;
      this.#origin = base.origin;
      return base;
    } catch (error) {
      this.#base = undefined;
      throw error;
    }
  }

  async #probe(signal: AbortSignal | undefined): Promise<URL> {
    const { host, insecure } = this.#options.endpoint;
    // Docker Hub's API is not at the host that its names have.
    const secure = new URL(`https://${host === 'docker.io' ? 'registry-1.docker.io' : host}`);
    const plain = new URL(`http://${host}`);
    // On this machine http is no risk and comes first, as all that TLS needs takes longer to load than the question takes.
    // A server that speaks TLS answers it with 400, or not at all.
    if (isLoopback(host)) return (await this.#answers(plain, signal)) ? plain : secure;
    if (!insecure) return secure;
    return (await this.#answers(secure, signal)) ? secure : plain;
  }

  /** Whether something like a registry is at an address. */
  async #answers(base: URL, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      const answer = await this.#once('GET', new URL('/v2/', base), { signal });
      await discard(answer);
      return answer.status !== 400;
    } catch (error) {
      signal?.throwIfAborted();
      // Nobody is there at all: neither way will do.
      if (deepCode(error) === 'ECONNREFUSED') throw this.#unreachable(error, base);
      return false;
    }
  }

  /** One request, tried again as long as there is hope. */
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
        this.#options.logger.debug(
          { registry: this.host, status: answer.status, wait, attempt },
          'registry asks to wait',
        );
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof BabelhostError) throw error;
        if (!isPassing(error) || options.once === true || attempt >= retries) throw this.#unreachable(error, url);
        this.#options.logger.debug(
          { registry: this.host, error: messageOf(error), wait, attempt },
          'connection failed',
        );
      }
      // Spread, so that clients which were refused together do not come back together.
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
      if (next === null || !/^https?:$/.test(next.protocol)) throw this.#badRedirect(location, 'it is no address');
      if (url.protocol === 'https:' && next.protocol === 'http:')
        throw this.#badRedirect(location, 'it leads from https to http');
      if (next.origin !== url.origin && headers !== undefined) {
        headers = Object.fromEntries(Object.entries(headers).filter(([header]) => header !== 'authorization'));
      }
      url = next;
    }
    throw this.#badRedirect(url.href, `it is one of more than ${redirectLimit}`);
  }

  async #once(method: Method, url: URL, { headers, body, signal }: RequestOptions): Promise<Answer> {
    const authorization = url.origin === this.#origin ? this.#authorization : undefined;
    const response = await request(url, {
      method,
      dispatcher: this.#dispatcher,
      headers: {
        'user-agent': 'babelhost',
        // Blobs are compressed already, and what is verified are the bytes as they are.
        'accept-encoding': 'identity',
        ...headers,
        ...(authorization === undefined ? {} : { authorization }),
      },
      ...(body === undefined ? {} : { body: body() as never }),
      ...(signal === undefined ? {} : { signal }),
    });
    return { status: response.statusCode, headers: response.headers, body: response.body, url };
  }

  async #challengesOf(answer: Answer): Promise<Challenge[]> {
    const header = answer.headers['www-authenticate'];
    const challenges = (Array.isArray(header) ? header : header === undefined ? [] : [header]).flatMap(parseChallenges);
    if (challenges.length === 0) throw await this.refusal(answer, this.repository);
    await discard(answer);
    return challenges;
  }

  async #authenticate(challenges: readonly Challenge[], signal: AbortSignal | undefined): Promise<void> {
    const { credentials } = this.#options;
    if (credentials !== undefined && 'registryToken' in credentials) {
      this.#authorization = `Bearer ${credentials.registryToken}`;
      return;
    }
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer !== undefined) {
      this.#authorization = `Bearer ${await this.#token(bearer, signal)}`;
      return;
    }
    if (challenges.some(({ scheme }) => scheme === 'basic')) {
      if (credentials !== undefined && 'username' in credentials) {
        this.#authorization = basic(credentials);
        return;
      }
      throw new BabelhostError(
        'imageUnauthorized',
        `${this.host} wants a user and a password for ${this.repository}: log in with 'docker login ${this.host}', 'podman login' or 'skopeo login', or give them with the call.`,
        { registry: this.host, repository: this.repository, reason: 'credentialsMissing' },
      );
    }
    throw new BabelhostError(
      'imageUnauthorized',
      `${this.host} wants to be authenticated to by ${challenges.map(({ scheme }) => scheme).join(', ')}, which is not known: it should be basic or bearer.`,
      { registry: this.host, repository: this.repository, schemes: challenges.map(({ scheme }) => scheme) },
    );
  }

  async #token(challenge: Challenge, signal: AbortSignal | undefined): Promise<string> {
    const { credentials, actions } = this.#options;
    const base = await this.#locate(signal);
    const realm = URL.parse(challenge.parameters['realm'] ?? '');
    const failed = (reason: string, more: object = {}) =>
      new BabelhostError('imageUnauthorized', `The token service of ${this.host} gave no token: ${reason}.`, {
        registry: this.host,
        repository: this.repository,
        ...more,
        reason,
      });
    if (realm === null || !/^https?:$/.test(realm.protocol)) throw failed('the registry does not say where it is');
    if (realm.protocol === 'http:' && base.protocol === 'https:')
      throw failed('it is at an address without encryption');
    const asked = tokenRequest(realm, challenge, `repository:${this.repository}:${actions}`, credentials);
    const { body } = asked;
    const answer = await this.#persistToken(asked.url, asked.method, asked.headers, body, signal);
    const text = await readText(answer);
    if (answer.status !== 200) throw failed(`it answered with status ${answer.status}`, { status: answer.status });
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw failed('its answer is not JSON');
    }
    // distribution's older form, and OAuth 2's.
    for (const key of ['token', 'access_token']) {
      const token: unknown =
        typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[key] : undefined;
      // A header's value: anything else in it would be somebody's attempt to add headers of their own.
      if (typeof token === 'string' && /^[\w.~+/=-]+$/.test(token)) return token;
    }
    throw failed('there is none in its answer');
  }

  /** A request to the token service, which has credentials of its own. */
  async #persistToken(
    url: URL,
    method: 'GET' | 'POST',
    headers: Readonly<Record<string, string>>,
    body: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    // Without the authorization of before, which has just been refused.
    this.#authorization = undefined;
    return await this.#persist(method, url, { headers, signal, ...(body === undefined ? {} : { body: () => body }) });
  }

  #badRedirect(location: string, reason: string): BabelhostError {
    return new BabelhostError(
      'imageInvalid',
      `${this.host} sends on to ${location.slice(0, 200)}, which is refused: ${reason}.`,
      {
        registry: this.host,
        repository: this.repository,
        location: location.slice(0, 1000),
        reason,
      },
    );
  }

  #unreachable(error: unknown, url: URL): BabelhostError {
    const code = deepCode(error);
    const certificate = code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/.test(code);
    const hint = certificate
      ? `its certificate is not accepted (${code}): put its authority's certificate into /etc/containers/certs.d/${this.host}/ca.crt`
      : `${messageOf(error)}: is the name right, and does the network reach it`;
    return new BabelhostError(
      isTimeout(code) ? 'timeout' : 'imageNotFound',
      `The registry ${url.host} cannot be reached: ${hint}.`,
      {
        registry: url.host,
        repository: this.repository,
        reason: 'unreachable',
        ...(code === undefined ? {} : { code }),
      },
      { cause: error },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispatcher.destroy();
  }
}

/** Whether a failed request may succeed when it is made again. */
export function isPassing(error: unknown): boolean {
  const code = deepCode(error);
  return code !== undefined && passingCodes.includes(code);
}

function isTimeout(code: string | undefined): boolean {
  return code !== undefined && /TIMEOUT|ETIMEDOUT/.test(code);
}

/** A system error's code, where undici may have wrapped it. */
function deepCode(error: unknown): string | undefined {
  for (let at = error, depth = 0; at !== undefined && depth < 4; depth += 1) {
    const code = systemErrorCode(at);
    if (code !== undefined) return code;
    at = at instanceof AggregateError ? at.errors[0] : at instanceof Error ? at.cause : undefined;
  }
  return undefined;
}

/** A header's first value. */
export function headerOf(answer: Answer, name: string): string | undefined {
  const value = answer.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** `Retry-After` in milliseconds: seconds or a date. RFC 9110, 10.2.3. */
function retryAfter(answer: Answer): number | undefined {
  const value = headerOf(answer, 'retry-after');
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** Lets go of an answer whose body is of no interest. */
export async function discard(answer: Answer): Promise<void> {
  await answer.body.dump({ limit: answerLimit }).catch(() => undefined);
}

/** A whole body, cut one byte after `limit`. */
export async function readBounded(answer: Answer, limit: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of answer.body as AsyncIterable<Buffer>) {
    pieces.push(piece);
    length += piece.length;
    // Leaving the loop destroys the stream, and so the connection.
    if (length > limit) break;
  }
  return Buffer.concat(pieces).subarray(0, limit + 1);
}

async function readText(answer: Answer): Promise<string> {
  return (await readBounded(answer, answerLimit)).toString('utf8');
}

/** What a registry writes about an error. OCI distribution spec, "Error Codes". */
async function registryWords(answer: Answer): Promise<string> {
  let text: string;
  try {
    text = await readText(answer);
  } catch {
    return '';
  }
  try {
    const value = JSON.parse(text) as { errors?: { code?: unknown; message?: unknown }[] };
    const first = value.errors?.[0];
    const words = [first?.code, first?.message].filter((word) => typeof word === 'string');
    return words
      .join(': ')
      .replace(/\p{Cc}/gu, ' ')
      .slice(0, 300);
  } catch {
    return '';
  }
}
