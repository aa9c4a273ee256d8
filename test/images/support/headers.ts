// The bytes of tar headers, written from the format's description and not with the code under test.

export interface Parts {
  /** A byte each character. */
  readonly name: string;
  readonly type?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly size?: number;
  /** The twelve bytes of the size field as they are, for sizes that no number gives. */
  readonly sizeField?: Buffer;
  readonly mtime?: number;
  readonly link?: string;
  readonly prefix?: string;
  /** GNU's magic and the bytes from 386 on, where its sparse maps are. */
  readonly gnu?: Buffer;
  /** Added to the right checksum. */
  readonly wrongBy?: number;
}

/** One header block. */
export function blockOf(parts: Parts): Buffer {
  const block = Buffer.alloc(512);
  block.write(parts.name, 0, 100, 'latin1');
  octal(block, parts.mode ?? 0o644, 100, 8);
  octal(block, parts.uid ?? 0, 108, 8);
  octal(block, parts.gid ?? 0, 116, 8);
  if (parts.sizeField === undefined) octal(block, parts.size ?? 0, 124, 12);
  else parts.sizeField.copy(block, 124);
  octal(block, parts.mtime ?? 1_000_000_000, 136, 12);
  block.write(parts.type ?? '0', 156, 'latin1');
  block.write(parts.link ?? '', 157, 100, 'latin1');
  if (parts.gnu === undefined) {
    block.write('ustar\x0000', 257, 'latin1');
    block.write(parts.prefix ?? '', 345, 155, 'latin1');
  } else {
    block.write('ustar  \0', 257, 'latin1');
    parts.gnu.copy(block, 386);
  }
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${(sum + (parts.wrongBy ?? 0)).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** A PAX record with its length. */
export function pax(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`, 'latin1');
  let length = rest.length;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function octal(block: Buffer, value: number, at: number, length: number): void {
  block.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
}
