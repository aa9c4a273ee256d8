// A registry's answers: headers, and bodies within limits of size and time.
import { errors, type Dispatcher } from 'undici';

/** A registry's answer. The body must be read or destroyed. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Dispatcher.ResponseData['body'];
  /** After redirects. */
  readonly url: URL;
}

/** For the answers of token services, and of errors. */
const answerLimit = 1024 ** 2;

/** How long a discarded answer may take to end, for its connection to be kept, in milliseconds. */
const discardMs = 1000;

/** A header's first value. */
export function headerOf(answer: Answer, name: string): string | undefined {
  const value = answer.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** `Retry-After` in milliseconds: seconds or a date. RFC 9110, 10.2.3. */
export function retryAfter(answer: Answer): number | undefined {
  const value = headerOf(answer, 'retry-after');
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

/** Discards an answer's body. */
export async function discard(answer: Answer): Promise<void> {
  await answer.body.dump({ limit: answerLimit, signal: AbortSignal.timeout(discardMs) }).catch(() => undefined);
}

/**
 * A whole body, cut one byte after `limit`.
 * @param withinMs - how long it may take in all; then it fails as an idle connection does.
 */
export async function readBounded(answer: Answer, limit: number, withinMs: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  const timer = setTimeout(() => {
    answer.body.destroy(new errors.BodyTimeoutError());
  }, withinMs);
  try {
    for await (const piece of answer.body as AsyncIterable<Buffer>) {
      pieces.push(piece);
      length += piece.length;
      // Leaving the loop destroys the stream, and so the connection.
      if (length > limit) break;
    }
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(pieces).subarray(0, limit + 1);
}

/** The whole body of a short answer, as text. */
export async function readText(answer: Answer, withinMs: number): Promise<string> {
  return (await readBounded(answer, answerLimit, withinMs)).toString('utf8');
}

/** A registry's message about an error, or ''. OCI distribution spec, "Error Codes". */
export async function registryMessage(answer: Answer, withinMs: number): Promise<string> {
  try {
    const value = JSON.parse(await readText(answer, withinMs)) as { errors?: { code?: unknown; message?: unknown }[] };
    const { code, message } = value.errors?.[0] ?? {};
    const texts = [code, message].filter((text) => typeof text === 'string');
    return texts
      .join(': ')
      .replace(/\p{Cc}/gu, ' ')
      .slice(0, 300);
  } catch {
    // Broken off, or in another form.
    return '';
  }
}
