// Decodes a client's message but for the source in a request to parse, which stays the JSON string that it is: a driver is
// written the same bytes. What the message consists of is JSON.parse's to say: it reads the message with a short string in
// the long one's place.
import { SourceText } from '../drivers/source-text.ts';
import { onFirstUse } from '../on-first-use.ts';
import { randomBytes } from '../unique-id.ts';
import { giveBack } from './received-memory.ts';
import { undecoded, type WithSource } from './served-request.ts';

const quote = 0x22;
const colon = 0x3a;
const space = 0x20;
const key = Buffer.from('"content"');

/** What stands for the source. Random: where it is found again, it is the one that was put there. */
const placeholder = onFirstUse(() => `babelhost-source-${randomBytes(16).toString('hex')}`);

/**
 * The message that `content` is, whose source is under `undecoded` where it can be.
 * @param memory what `content` lies in, where nobody else has anything in it: it is given back as soon as it is not needed
 * @throws SyntaxError where it is not JSON
 */
export function decodeWithSource(content: Buffer, memory?: Buffer): unknown {
  return withSource(content, memory) ?? decodeWhole(content, memory);
}

function decodeWhole(content: Buffer, memory: Buffer | undefined): unknown {
  const message: unknown = JSON.parse(content.toString('utf8'));
  if (memory !== undefined) giveBack(memory);
  return message;
}

function withSource(content: Buffer, memory: Buffer | undefined): object | undefined {
  const start = startOfSource(content);
  const source = start < 0 ? undefined : SourceText.in(content, start, memory);
  if (source === undefined) return undefined;
  const end = start + source.length;
  const text = `${content.toString('utf8', 0, start)}"${placeholder()}"${content.toString('utf8', end)}`;
  let message: unknown;
  try {
    message = JSON.parse(text);
  } catch {
    // So may the whole of it be, or not: whoever decodes that finds out.
    return undefined;
  }
  // Anywhere else, or with a member of the same name behind it, it was not the source.
  if (!isParse(message) || message.params.content !== placeholder()) return undefined;
  message[undecoded] = source;
  return message;
}

/** Where the string begins that the first member `content` of anything has for its value; -1 where there is none. */
function startOfSource(json: Buffer): number {
  let at = json.indexOf(key);
  if (at < 0) return -1;
  at = behindSpaces(json, at + key.length);
  if (json[at] !== colon) return -1;
  at = behindSpaces(json, at + 1);
  return json[at] === quote ? at : -1;
}

function behindSpaces(json: Buffer, from: number): number {
  let at = from;
  while (json[at] === space) at += 1;
  return at;
}

function isParse(message: unknown): message is WithSource & { readonly params: { readonly content?: unknown } } {
  if (typeof message !== 'object' || message === null || !('method' in message && 'params' in message)) return false;
  return message.method === 'parse' && typeof message.params === 'object' && message.params !== null;
}
