// Authentication to a registry: meets its challenges (RFC 9110, 11.6.1; distribution's token authentication), and keeps the
// header's value. Only the registry's own challenges are met: a host that it redirects to could name a token service of its
// own, and get the registry's password there.
import { BabelhostError, messageOf } from '../../base/errors.ts';
import { discard, readText, type Answer } from './answer.ts';
import type { Credentials } from './settings.ts';

/** A request to a token service. */
export interface TokenRequest {
  readonly url: URL;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface AuthorizationOptions {
  readonly host: string;
  readonly repository: string;
  readonly credentials: Credentials | undefined;
  /** `pull`, or `pull,push`. */
  readonly actions: string;
  /** How long the whole of a token service's answer may take, in milliseconds. */
  readonly answerTimeoutMs: number;
  readonly send: (request: TokenRequest, signal: AbortSignal | undefined) => Promise<Answer>;
}

/** The Authorization header for one registry. */
export class Authorization {
  readonly #options: AuthorizationOptions;
  #base: URL | undefined;
  #value: string | undefined;
  #meeting: Promise<void> | undefined;

  constructor(options: AuthorizationOptions) {
    this.#options = options;
  }

  /** Sets where the registry is: no other host gets the header. */
  locate(base: URL): void {
    this.#base = base;
  }

  /** The header's value for a request to `url`; undefined for other hosts, and until a challenge was met. */
  for(url: URL): string | undefined {
    return url.origin === this.#base?.origin ? this.#value : undefined;
  }

  /**
   * Meets the challenges of an answer with status 401.
   * @param used - what `for` gave for the request.
   * @returns false if the answer has none that are to be met.
   * @throws BabelhostError `imageUnauthorized` if they cannot be met.
   */
  async meet(answer: Answer, used: string | undefined, signal: AbortSignal | undefined): Promise<boolean> {
    if (answer.url.origin !== this.#base?.origin) return false;
    const header = answer.headers['www-authenticate'];
    const challenges = (Array.isArray(header) ? header : header === undefined ? [] : [header]).flatMap(parseChallenges);
    if (challenges.length === 0) return false;
    await discard(answer);
    // Another request may have got a token meanwhile.
    if (used === this.#value) {
      this.#meeting ??= this.#meet(challenges, signal).finally(() => {
        this.#meeting = undefined;
      });
    }
    await this.#meeting;
    return true;
  }

  async #meet(challenges: readonly Challenge[], signal: AbortSignal | undefined): Promise<void> {
    const { host, repository, credentials } = this.#options;
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (credentials !== undefined && 'registryToken' in credentials) {
      this.#value = `Bearer ${credentials.registryToken}`;
    } else if (bearer !== undefined) {
      this.#value = `Bearer ${await this.#fetchToken(bearer, signal)}`;
    } else if (!challenges.some(({ scheme }) => scheme === 'basic')) {
      const schemes = challenges.map(({ scheme }) => scheme);
      const message = `${host} wants to be authenticated to by ${schemes.join(', ')}, which is not known: it should be basic or bearer.`;
      throw this.#error(message, { schemes });
    } else if (credentials !== undefined && 'username' in credentials) {
      this.#value = basic(credentials);
    } else {
      throw this.#error(
        `${host} wants a user and a password for ${repository}: log in with 'docker login ${host}', 'podman login' or 'skopeo login', or give them with the call.`,
        { reason: 'credentialsMissing' },
      );
    }
  }

  /** Gets a token from the service that a challenge names: the Docker registry v2 authentication specification. */
  async #fetchToken(challenge: Challenge, signal: AbortSignal | undefined): Promise<string> {
    const { host, repository, actions, credentials, answerTimeoutMs, send } = this.#options;
    const failed = (reason: string, more: object = {}) =>
      this.#error(`The token service of ${host} gave no token: ${reason}.`, { ...more, reason });
    const realm = URL.parse(challenge.parameters['realm'] ?? '');
    if (realm === null || !/^https?:$/.test(realm.protocol)) throw failed('the registry does not say where it is');
    // The token service has credentials of its own; those of before have just been refused.
    this.#value = undefined;
    const answer = await send(
      tokenRequest(realm, challenge, `repository:${repository}:${actions}`, credentials),
      signal,
    );
    let text: string;
    try {
      text = await readText(answer, answerTimeoutMs);
    } catch (error) {
      throw failed(`its answer broke off (${messageOf(error)})`);
    }
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
      // Other characters could add headers.
      if (typeof token === 'string' && /^[\w.~+/=-]+$/.test(token)) return token;
    }
    throw failed('there is none in its answer');
  }

  #error(message: string, data: object): BabelhostError {
    const { host, repository } = this.#options;
    return new BabelhostError('imageUnauthorized', message, { registry: host, repository, ...data });
  }
}

/** One challenge of a WWW-Authenticate header. */
interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Reads WWW-Authenticate: schemes, each with parameters, tokens or quoted strings. What is malformed ends the list. */
function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  const parameter = /^\s*,?\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))/;
  const scheme = /^\s*,?\s*([\w!#$%&'*+.^`|~-]+)(?=\s|,|$)/;
  let rest = header;
  while (rest.trim() !== '') {
    const pair = parameter.exec(rest);
    const last = challenges.at(-1);
    if (pair?.[1] !== undefined && last !== undefined) {
      last.parameters[pair[1].toLowerCase()] = pair[2]?.replace(/\\(.)/g, '$1') ?? pair[3] ?? '';
      rest = rest.slice(pair[0].length);
      continue;
    }
    const begin = scheme.exec(rest);
    if (begin?.[1] === undefined) break;
    challenges.push({ scheme: begin[1].toLowerCase(), parameters: {} });
    rest = rest.slice(begin[0].length);
  }
  return challenges;
}

/** The header's value for a user and password. RFC 7617. */
function basic({ username, password }: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

/** @param scope - `repository:NAME:pull` or `…:pull,push`. */
function tokenRequest(
  realm: URL,
  { parameters }: Challenge,
  scope: string,
  credentials: Credentials | undefined,
): TokenRequest {
  const service = parameters['service'];
  const more = (parameters['scope'] ?? '').split(' ').filter((other) => other !== '' && !covers(scope, other));
  const scopes = [...new Set([scope, ...more])];
  if (credentials !== undefined && 'identityToken' in credentials) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: credentials.identityToken,
      client_id: 'babelhost',
      scope: scopes.join(' '),
    });
    if (service !== undefined) form.set('service', service);
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return { url: realm, method: 'POST', headers, body: form.toString() };
  }
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  for (const item of scopes) url.searchParams.append('scope', item);
  if (credentials === undefined || !('username' in credentials)) return { url, method: 'GET', headers: {} };
  url.searchParams.set('account', credentials.username);
  return { url, method: 'GET', headers: { authorization: basic(credentials) } };
}

/** Whether a scope (`type:name:actions`) has all that `other` asks for. */
function covers(scope: string, other: string): boolean {
  const split = (text: string) => {
    const colon = text.lastIndexOf(':');
    return { what: text.slice(0, colon), actions: text.slice(colon + 1).split(',') };
  };
  const [have, want] = [split(scope), split(other)];
  return have.what === want.what && want.actions.every((action) => have.actions.includes(action));
}
