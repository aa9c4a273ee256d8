// Writes tar archives reproducibly: ustar headers, and PAX records where a name or a number does not fit, as node-tar encodes
// them. Names are written as UTF-8. Why only its headers: docs/decisions.md, "Writing archives".
import { createReadStream } from 'node:fs';
import { Header } from 'tar/header';
import { Pax } from 'tar/pax';
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

const types = { file: 'File', directory: 'Directory', symbolicLink: 'SymbolicLink' } as const;

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

/** An entry's header, with an extended one before it where something does not fit into it. */
function encodeEntry({ name, kind, mode, link }: WrittenEntry, size: number, mtime: number): Buffer {
  const fields = {
    path: kind === 'directory' ? `${name}/` : name,
    size,
    mtime: new Date(mtime * 1000),
    ...(link === undefined ? {} : { linkpath: link }),
  };
  const block = Buffer.alloc(blockSize);
  const needsPax = new Header({ ...fields, type: types[kind], mode, uid: 0, gid: 0 }).encode(block);
  return needsPax ? Buffer.concat([new Pax(fields).encode(), block]) : block;
}
