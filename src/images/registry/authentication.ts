// What a registry asks for with 401, and how it is satisfied. RFC 9110 (11.6.1), distribution's token authentication.
import type { Credentials } from './settings.ts';

/** One challenge of a WWW-Authenticate header. */
export interface Challenge {
  /** In lower case. */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** Reads WWW-Authenticate: schemes, each with parameters, tokens or quoted strings. What is malformed ends the list. */
export function parseChallenges(header: string): Challenge[] {
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

/** The value of an Authorization header for a user and password. RFC 7617. */
export function basic(credentials: { readonly username: string; readonly password: string }): string {
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
}

/** A request to a token service. */
export interface TokenRequest {
  readonly url: URL;
  readonly method: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/**
 * How to ask for a token.
 * @param scope - what for: `repository:NAME:pull` or `…:pull,push`.
 */
export function tokenRequest(
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
