// Decodes a request line: its JSON, its content, and its language and file name.
'use strict';
const { isUtf8 } = require('node:buffer');

/** A request that violates the native protocol; `id` is its id, if that could be read. */
class BrokenRequest extends Error {
  constructor(message, id) {
    super(message);
    this.id = id;
  }
}

/** Content that is not text; `offset` is of the first invalid byte. */
class NotText extends Error {
  constructor(offset) {
    super(`The content is not UTF-8 (byte ${offset}).`);
    this.offset = offset;
  }
}

/**
 * Decodes a line.
 * @returns {{ id?: string, source: () => string, language: string, filename: string }} source() decodes the content or
 * throws NotText; the answer has the same id
 * @throws BrokenRequest
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

/** Decodes a file: UTF-8, or UTF-16 with a byte order mark (ECMA-262 leaves encodings to the host). */
function decodeText(bytes) {
  if (bytes.length % 2 === 0 && bytes[0] === 0xff && bytes[1] === 0xfe) return bytes.toString('utf16le');
  if (bytes.length % 2 === 0 && bytes[0] === 0xfe && bytes[1] === 0xff) return bytes.swap16().toString('utf16le');
  if (!isUtf8(bytes)) throw new NotText(firstFault(bytes));
  return bytes.toString('utf8');
}

/** The offset of the first byte that is not UTF-8, by binary search. */
function firstFault(bytes) {
  let good = 0;
  let bad = bytes.length;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    // A prefix may end within a character: up to three more bytes complete it, if it is valid.
    const whole = [0, 1, 2, 3].some(
      (more) => middle + more <= bytes.length && isUtf8(bytes.subarray(0, middle + more)),
    );
    if (whole) good = middle;
    else bad = middle;
  }
  return good;
}

module.exports = { BrokenRequest, NotText, decodeRequest };
