// Writes tar archives reproducibly: ustar headers, and PAX records where a name or a number does not fit. Names are written as
// UTF-8.
import { createReadStream } from 'node:fs';
import { blockSize } from './header.ts';

/** One entry to write. Its owner is 0:0. */
export interface WrittenEntry {
  /** Without a leading slash; a folder's without a trailing one. */
  readonly name: string;
  readonly kind: 'file' | 'directory' | 'symbolicLink';
  readonly mode: number;
  /** Of a symbolic link. */
  readonly link?: string;
  /** Of a file: bytes in memory, or a file of this machine with its size. */
  readonly content?: Buffer | { readonly path: string; readonly size: number };
}

const typeFlags = { file: '0', directory: '5', symbolicLink: '2' } as const;

/** How many bytes of a file are read at a time. */
const readSize = 256 * 1024;

/**
 * The bytes of an archive.
 * @param mtime - of every entry, in seconds.
 * @throws Error if a file is no longer as long as it was said to be.
 */
export async function* writeTar(entries: Iterable<WrittenEntry>, mtime: number): AsyncGenerator<Buffer> {
  for (const entry of entries) {
    const { content } = entry;
    const size = content === undefined ? 0 : Buffer.isBuffer(content) ? content.length : content.size;
    yield encodeEntry(entry, size, mtime);
    if (content === undefined) continue;
    if (Buffer.isBuffer(content)) yield content;
    else {
      let length = 0;
      for await (const chunk of createReadStream(content.path, { highWaterMark: readSize }) as AsyncIterable<Buffer>) {
        length += chunk.length;
        if (length > content.size) break;
        yield chunk;
      }
      if (length !== content.size) throw new Error(`${content.path} changed while it was read`);
    }
    const rest = size % blockSize;
    if (rest > 0) yield Buffer.alloc(blockSize - rest);
  }
  yield Buffer.alloc(2 * blockSize);
}

/** An entry's header, with an extended one before it where it is needed. */
function encodeEntry(entry: WrittenEntry, size: number, mtime: number): Buffer {
  const name = entry.kind === 'directory' ? `${entry.name}/` : entry.name;
  const link = entry.link ?? '';
  const split = splitName(name);
  const records: string[] = [];
  if (split === undefined) records.push(record('path', name));
  if (Buffer.byteLength(link) > 100) records.push(record('linkpath', link));
  // Eleven octal digits hold 8 GiB.
  if (size > 0o77777777777) records.push(record('size', String(size)));
  const main = header({
    ...(split ?? { name: Buffer.from(name).subarray(0, 100), prefix: Buffer.alloc(0) }),
    type: typeFlags[entry.kind],
    mode: entry.mode,
    size: Math.min(size, 0o77777777777),
    mtime,
    link: Buffer.from(link).subarray(0, 100),
  });
  if (records.length === 0) return main;
  const body = Buffer.from(records.join(''));
  const extended = header({
    name: Buffer.from('PaxHeaders/entry'),
    prefix: Buffer.alloc(0),
    type: 'x',
    mode: 0o644,
    size: body.length,
    mtime,
    link: Buffer.alloc(0),
  });
  const padding = Buffer.alloc((blockSize - (body.length % blockSize)) % blockSize);
  return Buffer.concat([extended, body, padding, main]);
}

interface HeaderFields {
  readonly name: Buffer;
  readonly prefix: Buffer;
  readonly type: string;
  readonly mode: number;
  readonly size: number;
  readonly mtime: number;
  readonly link: Buffer;
}

function header({ name, prefix, type, mode, size, mtime, link }: HeaderFields): Buffer {
  const block = Buffer.alloc(blockSize);
  const octal = (value: number, at: number, digits: number) => {
    block.write(value.toString(8).padStart(digits, '0'), at, 'latin1');
  };
  name.copy(block, 0);
  octal(mode, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(size, 124, 11);
  octal(mtime, 136, 11);
  block.fill(' ', 148, 156);
  block.write(type, 156, 'latin1');
  link.copy(block, 157);
  block.write('ustar\x0000', 257, 'latin1');
  prefix.copy(block, 345);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** ustar's two fields for a name: up to 155 bytes, a slash, up to 100 bytes. Undefined if it does not fit. */
function splitName(name: string): { name: Buffer; prefix: Buffer } | undefined {
  const bytes = Buffer.from(name);
  if (bytes.length <= 100) return { name: bytes, prefix: Buffer.alloc(0) };
  // Not at a folder's trailing slash.
  for (let at = bytes.length - 2; at > 0; at -= 1) {
    if (bytes[at] !== 0x2f || bytes.length - at - 1 > 100) continue;
    if (at <= 155) return { prefix: bytes.subarray(0, at), name: bytes.subarray(at + 1) };
  }
  return undefined;
}

/** A PAX record; its length counts its own digits. */
function record(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + 1;
  while (rest + String(length).length !== length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}
