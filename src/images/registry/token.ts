// Asks a token service for a token: the Docker registry v2 authentication specification.
import { BabelhostError, messageOf } from '../../base/errors.ts';
import { readText, type Answer } from './answer.ts';
import { tokenRequest, type Challenge, type TokenRequest } from './authentication.ts';
import type { Credentials } from './settings.ts';

export interface TokenPurpose {
  readonly host: string;
  readonly repository: string;
  /** `pull`, or `pull,push`. */
  readonly actions: string;
  readonly credentials: Credentials | undefined;
  /** How long the whole of its answer may take, in milliseconds. */
  readonly answerTimeoutMs: number;
  readonly send: (request: TokenRequest) => Promise<Answer>;
}

/**
 * The token that a registry's challenge sends for.
 * @throws BabelhostError `imageUnauthorized` if there is none to be had; what `send` throws.
 */
export async function fetchToken(
  challenge: Challenge,
  { host, repository, actions, credentials, answerTimeoutMs, send }: TokenPurpose,
): Promise<string> {
  const realm = URL.parse(challenge.parameters['realm'] ?? '');
  const failed = (reason: string, more: object = {}) =>
    new BabelhostError('imageUnauthorized', `The token service of ${host} gave no token: ${reason}.`, {
      registry: host,
      repository,
      ...more,
      reason,
    });
  if (realm === null || !/^https?:$/.test(realm.protocol)) throw failed('the registry does not say where it is');
  const asked = tokenRequest(realm, challenge, `repository:${repository}:${actions}`, credentials);
  const answer = await send(asked);
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
    // A header's value: anything else in it would be somebody's attempt to add headers of their own.
    if (typeof token === 'string' && /^[\w.~+/=-]+$/.test(token)) return token;
  }
  throw failed('there is none in its answer');
}
