// The failures of requests to registries: which are retried, and their errors.
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { registryMessage, retryAfter, type Answer } from './answer.ts';
import { isLoopback, type TargetError } from './targets.ts';

/** Statuses of answers that may be others later. */
export const passing: readonly number[] = [408, 429, 500, 502, 503, 504];

/** Codes of failures that may pass. */
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

/** The request's registry, and its settings. */
export interface Asked {
  readonly host: string;
  readonly repository: string;
  readonly withCredentials: boolean;
  /** How often a request is made again. */
  readonly retries: number;
  /** How long the whole of a short answer may take, in milliseconds. */
  readonly answerTimeoutMs: number;
}

/** The error for an answer with an unexpected status; reads the registry's message from it. */
export async function refusalOf(
  answer: Answer,
  what: string,
  { host, repository, withCredentials, retries, answerTimeoutMs }: Asked,
): Promise<BabelhostError> {
  const { status } = answer;
  const message = await registryMessage(answer, answerTimeoutMs);
  const said = message === '' ? '' : ` The registry says: ${message}`;
  const data = { registry: host, repository, status, ...(message === '' ? {} : { message }) };
  if (status === 401 || status === 403) {
    const hint = !withCredentials
      ? `it may not exist, or need credentials: log in with 'docker login ${host}', 'podman login' or 'skopeo login'`
      : 'the credentials are not accepted, or do not reach that far';
    return new BabelhostError('imageUnauthorized', `${host} refuses ${what} (${status}): ${hint}.${said}`, data);
  }
  if (status === 404) {
    return new BabelhostError(
      'imageNotFound',
      `${host} does not have ${what}: look for a slip in its name or tag.${said}`,
      data,
    );
  }
  if (status === 429) {
    return new BabelhostError(
      'overloaded',
      `${host} asks for fewer requests (429) and was asked for ${what} ${retries + 1} times: try again later.${said}`,
      { ...data, reason: 'tooManyRequests', retryAfterMs: retryAfter(answer) ?? null },
    );
  }
  return new BabelhostError(
    'imageNotFound',
    `${host} failed to give ${what} (status ${status}): try again later, or ask whoever runs it.${said}`,
    { ...data, reason: 'registryFailed' },
  );
}

/** The error of a redirect that is refused. */
export function badTarget(
  { host, repository }: Asked,
  location: string,
  reason: 'malformed' | 'tooMany' | TargetError['reason'],
  why: string,
  data: object = {},
): BabelhostError {
  return new BabelhostError(
    'imageInvalid',
    `${host} sends on to ${location.slice(0, 200)}, which is refused: ${why}.`,
    { registry: host, repository, location: location.slice(0, 1000), ...data, reason },
  );
}

/** The error of a redirect to a host that only the configuration may name. */
export function unnamedTarget(asked: Asked, url: URL, { reason, message, address }: TargetError): BabelhostError {
  const insecure = url.protocol === 'http:' && !isLoopback(url.host) ? ' and insecure = true' : '';
  return badTarget(
    asked,
    url.href,
    reason,
    `${message}. If it is to be asked all the same, add a [[registry]] with location = "${url.host}"${insecure} to registries.conf`,
    address === undefined ? {} : { address },
  );
}

/** The error of a request without an answer. */
export function unreachable({ host, repository }: Asked, error: unknown, url: URL): BabelhostError {
  const code = deepCode(error);
  const certificate = code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/.test(code);
  const hint = certificate
    ? `its certificate is not accepted (${code}): put its authority's certificate into /etc/containers/certs.d/${host}/ca.crt`
    : `${messageOf(error)}: is the name right, and does the network reach it`;
  return new BabelhostError(
    /TIMEOUT|ETIMEDOUT/.test(code ?? '') ? 'timeout' : 'imageNotFound',
    `The registry ${url.host} cannot be reached: ${hint}.`,
    { registry: url.host, repository, reason: 'unreachable', ...(code === undefined ? {} : { code }) },
    { cause: error },
  );
}

/** Whether a failed request may succeed when it is made again. */
export function isPassing(error: unknown): boolean {
  const code = deepCode(error);
  return code !== undefined && passingCodes.includes(code);
}

/** The code of a system error, which undici may have wrapped. */
export function deepCode(error: unknown): string | undefined {
  for (let at = error, depth = 0; at !== undefined && depth < 4; depth += 1) {
    const code = systemErrorCode(at);
    if (code !== undefined) return code;
    at = at instanceof AggregateError ? at.errors[0] : at instanceof Error ? at.cause : undefined;
  }
  return undefined;
}
