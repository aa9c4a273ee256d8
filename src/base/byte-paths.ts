// Paths as the kernel has them: bytes, which need not be UTF-8 (names in Latin-1 are common in old repositories). Their
// `file:` URIs, and their text for people. Touches no file.
import { fileURLToPathBuffer } from 'node:url';

/** Everything but what pathToFileURL leaves as it is. */
const encoded = /[^!$&'()*+,\-./0-9:;=@A-Z_a-z]/g;

/** Sequences of UTF-8 (RFC 3629, section 4) in bytes read as Latin-1, and other bytes above ASCII. */
const aboveAscii =
  /((?:[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})+)|[\x80-\xff]/g;

/** The `file:` URI of an absolute path: each byte that is no plain ASCII is percent-encoded. */
export function uriOfPath(path: Buffer): string {
  return `file://${path.toString('latin1').replaceAll(encoded, (byte) => `%${hexOf(byte).toUpperCase()}`)}`;
}

/**
 * The path of a `file:` URI of this machine.
 * @throws TypeError where it is none, or its name can be no file's
 */
export function pathOfFileUri(uri: string): Buffer {
  const url = new URL(uri);
  const path = fileURLToPathBuffer(url);
  // fileURLToPathBuffer takes all of these.
  const { pathname } = url;
  if (/%(?![0-9a-f]{2})/i.test(pathname)) throw new TypeError('a % in it has no two hexadecimal digits after it');
  if (/%2f/i.test(pathname)) throw new TypeError('a name in it has a slash (%2F)');
  if (path.includes(0)) throw new TypeError('a name in it has a zero byte (%00)');
  return path;
}

/** A path as text: `\xe9` for a byte that is no UTF-8. */
export function textOfPath(path: Buffer): string {
  return path
    .toString('latin1')
    .replaceAll(aboveAscii, (bytes, utf8: string | undefined) =>
      utf8 === undefined ? `\\x${hexOf(bytes)}` : Buffer.from(utf8, 'latin1').toString(),
    );
}

/** The path of an entry of a folder. */
export function joinPath(folder: Buffer, name: Buffer | string): Buffer {
  const bytes = typeof name === 'string' ? Buffer.from(name) : name;
  const slash = folder.at(-1) === 0x2f ? [] : [Buffer.from('/')];
  return Buffer.concat([folder, ...slash, bytes]);
}

function hexOf(byte: string): string {
  return byte.charCodeAt(0).toString(16).padStart(2, '0');
}
