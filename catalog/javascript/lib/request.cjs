// Decoding a request line: its JSON, its content and the hints of what the content is.
'use strict';
const { isUtf8 } = require('node:buffer');

/** A request that does not keep to the native protocol; `id` is its id, where it could be read. */
class BrokenRequest extends Error {
  constructor(message, id) {
    super(message);
    this.id = id;
  }
}

/** Content that is no text; `offset` is the first byte that is wrong. */
class NotText extends Error {
  constructor(offset) {
    super(`The content is not UTF-8 (byte ${offset}).`);
    this.offset = offset;
  }
}

/**
 * Decodes a line.
 * @returns {{ id?: string, source: () => string, language: string, filename: string }} source() decodes the content, and
 * throws NotText; id is returned with the answer
 */
function decodeRequest(line) {
  if (!isUtf8(line)) throw new BrokenRequest('The request is not UTF-8.');
  let request;
  try {
    request = JSON.parse(line.toString('utf8'));
  } catch (error) {
    throw error instanceof SyntaxError ? new BrokenRequest('The request is not JSON.') : error;
  }
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw new BrokenRequest('The request is not a JSON object.');
  }
  const { id, content, encoding = 'utf8', language = '', filename = '' } = request;
  if (id !== undefined && typeof id !== 'string') throw new BrokenRequest('The request\'s "id" is not a string.');
  if (typeof content !== 'string') throw new BrokenRequest('The request\'s "content" is not a string.', id);
  if (typeof language !== 'string') throw new BrokenRequest('The request\'s "language" is not a string.', id);
  if (typeof filename !== 'string') throw new BrokenRequest('The request\'s "filename" is not a string.', id);
  switch (typeof encoding === 'string' ? encoding.toLowerCase() : undefined) {
    case 'utf8':
    case 'utf-8':
      return { id, source: () => content, language, filename };
    case 'base64': {
      if (content.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(content)) {
        throw new BrokenRequest('The request\'s "content" is not base64.', id);
      }
      return { id, source: () => decodeText(Buffer.from(content, 'base64')), language, filename };
    }
    default:
      throw new BrokenRequest('The request\'s "encoding" is neither "utf8" nor "base64".', id);
  }
}

/** Text from the bytes of a file: UTF-8, or UTF-16 where a byte order mark says so (ECMA-262 leaves it to the host). */
function decodeText(bytes) {
  if (bytes.length % 2 === 0 && bytes[0] === 0xff && bytes[1] === 0xfe) return bytes.toString('utf16le');
  if (bytes.length % 2 === 0 && bytes[0] === 0xfe && bytes[1] === 0xff) return bytes.swap16().toString('utf16le');
  if (!isUtf8(bytes)) throw new NotText(firstFault(bytes));
  return bytes.toString('utf8');
}

/** The offset of the first byte that is not UTF-8, by halving. */
function firstFault(bytes) {
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    // A prefix may end within a character: up to three bytes more make it whole, or it is at fault.
    const whole = [0, 1, 2, 3].some(
      (more) => middle + more <= bytes.length && isUtf8(bytes.subarray(0, middle + more)),
    );
    if (whole) good = middle;
    else bad = middle;
  }
  return good;
}

module.exports = { BrokenRequest, NotText, decodeRequest };
