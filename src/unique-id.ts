// Names that nobody else makes: ULIDs, which sort by the time of their making. Imports nothing of the program.
import { closeSync, openSync, readSync } from 'node:fs';
import { ulid } from 'ulid';

/** How many bytes are read at once: a ULID takes 16 random numbers of 32 bits. */
const poolBytes = 16 * 4;

/** A random number from 0 to below 1, of the kernel's: node:crypto takes three milliseconds to load for the first of them. */
function random(pool: { bytes: Buffer; at: number }): number {
  if (pool.at === pool.bytes.length) {
    pool.bytes = randomBytes(poolBytes);
    pool.at = 0;
  }
  const number = pool.bytes.readUInt32LE(pool.at) / 2 ** 32;
  pool.at += 4;
  return number;
}

const pool = { bytes: Buffer.alloc(0), at: 0 };

/** A new ULID. */
export function uniqueId(): string {
  return ulid(undefined, () => random(pool));
}

/** Bytes that nobody can foretell (random(4)). */
export function randomBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const file = openSync('/dev/urandom', 'r');
  try {
    // urandom gives up to 256 bytes whole, whatever happens.
    const read = readSync(file, bytes);
    if (read !== length) throw new Error(`/dev/urandom gave ${read} of ${length} bytes.`);
  } finally {
    closeSync(file);
  }
  return bytes;
}
