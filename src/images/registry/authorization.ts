// Being let in by a registry: meets its challenges, and keeps what it is to be asked with from then on. Only the registry's
// own challenges are met, never those of a host that it redirects to: such a one could name a token service of its own, and
// be given the registry's password there.
import { BabelhostError } from '../../base/errors.ts';
import { discard, type Answer } from './answer.ts';
import { basic, parseChallenges, type Challenge, type TokenRequest } from './authentication.ts';
import type { Credentials } from './settings.ts';
import { fetchToken } from './token.ts';

export interface AuthorizationOptions {
  readonly host: string;
  readonly repository: string;
  readonly credentials: Credentials | undefined;
  /** `pull`, or `pull,push`. */
  readonly actions: string;
  /** How long the whole of a token service's answer may take, in milliseconds. */
  readonly answerTimeoutMs: number;
  /** Asks a token service. */
  readonly send: (request: TokenRequest, signal: AbortSignal | undefined) => Promise<Answer>;
}

/** What one registry is asked with. */
export class Authorization {
  readonly #options: AuthorizationOptions;
  /** Where the registry is, once that is known. */
  #base: URL | undefined;
  #value: string | undefined;
  #meeting: Promise<void> | undefined;

  constructor(options: AuthorizationOptions) {
    this.#options = options;
  }

  /** Says where the registry is: nobody else gets anything. */
  locate(base: URL): void {
    this.#base = base;
  }

  /** The value of the header for a request to `url`; undefined for other hosts, and as long as nothing was asked for. */
  for(url: URL): string | undefined {
    return url.origin === this.#base?.origin ? this.#value : undefined;
  }

  /**
   * Meets what an answer with status 401 asks for.
   * @param used - what `for` gave for the request.
   * @returns false if the answer asks for nothing that is to be met.
   * @throws BabelhostError `imageUnauthorized` if it cannot be met.
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
    const { host, repository, credentials, actions, answerTimeoutMs, send } = this.#options;
    if (credentials !== undefined && 'registryToken' in credentials) {
      this.#value = `Bearer ${credentials.registryToken}`;
      return;
    }
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    if (bearer !== undefined) {
      const token = await fetchToken(bearer, {
        host,
        repository,
        actions,
        credentials,
        answerTimeoutMs,
        send: async (request) => {
          // The token service has credentials of its own; those of before have just been refused.
          this.#value = undefined;
          return await send(request, signal);
        },
      });
      this.#value = `Bearer ${token}`;
      return;
    }
    if (challenges.some(({ scheme }) => scheme === 'basic')) {
      if (credentials !== undefined && 'username' in credentials) {
        this.#value = basic(credentials);
        return;
      }
      throw new BabelhostError(
        'imageUnauthorized',
        `${host} wants a user and a password for ${repository}: log in with 'docker login ${host}', 'podman login' or 'skopeo login', or give them with the call.`,
        { registry: host, repository, reason: 'credentialsMissing' },
      );
    }
    const schemes = challenges.map(({ scheme }) => scheme);
    throw new BabelhostError(
      'imageUnauthorized',
      `${host} wants to be authenticated to by ${schemes.join(', ')}, which is not known: it should be basic or bearer.`,
      { registry: host, repository, schemes },
    );
  }
}
