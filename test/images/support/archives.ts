// Makes tar archives entry by entry, right and wrong ones: what no tool would write can be written with it.
import { blockOf, pax, type Parts } from './headers.ts';

export interface Entry extends Parts {
  /** Default: as long as the content. */
  readonly size?: number;
  readonly content?: Buffer | string;
  /** PAX records that come before the entry. */
  readonly pax?: Readonly<Record<string, string>>;
}

/** An archive with an end marker. */
export function tar(...entries: (Entry | Buffer)[]): Buffer {
  return Buffer.concat([...entries.map(encode), Buffer.alloc(1024)]);
}

/** One entry: headers, content, padding. */
export function encode(entry: Entry | Buffer): Buffer {
  if (Buffer.isBuffer(entry)) return entry;
  const content = Buffer.from(entry.content ?? '');
  const parts: Buffer[] = [];
  if (entry.pax !== undefined) {
    const body = Buffer.concat(Object.entries(entry.pax).map(([key, value]) => pax(key, value)));
    parts.push(blockOf({ name: 'PaxHeaders/x', type: 'x', size: body.length }), padded(body));
  }
  parts.push(blockOf({ ...entry, size: entry.size ?? content.length }), padded(content));
  return Buffer.concat(parts);
}

export const file = (name: string, content: Buffer | string = '', more: Partial<Entry> = {}): Entry => ({
  name,
  content,
  ...more,
});
export const folder = (name: string, more: Partial<Entry> = {}): Entry => ({ name, type: '5', mode: 0o755, ...more });
export const symlink = (name: string, link: string): Entry => ({ name, type: '2', link, mode: 0o777 });
export const hardlink = (name: string, link: string): Entry => ({ name, type: '1', link });

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}
