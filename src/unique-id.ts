// Names that nobody else makes: ULIDs, which sort by the time of their making. Imports nothing of the program.
import { openSync, readSync } from 'node:fs';
import { ulid } from 'ulid';

/** The kernel's random numbers, as random(4) has them: node:crypto takes three milliseconds to load for the first of them. */
const source = '/dev/urandom';

/** How many bytes are read at once: those of 64 ULIDs, which take 16 random numbers of 32 bits each. */
const poolBytes = 64 * 16 * 4;

const pool = Buffer.alloc(poolBytes);
let taken = poolBytes;
/** Open from the first use on: a host that has no descriptors left still makes names, and its errors say what is wrong. */
let descriptor: number | undefined;

/** A new ULID. */
export function uniqueId(): string {
  return ulid(undefined, () => randomBytes(4).readUInt32LE() / 2 ** 32);
}

/** Bytes that nobody can foretell, 4096 at the most. */
export function randomBytes(length: number): Buffer {
  if (taken + length > poolBytes) refill();
  const bytes = Buffer.from(pool.subarray(taken, taken + length));
  if (bytes.length !== length) throw new RangeError(`${length} random bytes are more than ${poolBytes}.`);
  taken += length;
  return bytes;
}

function refill(): void {
  descriptor ??= openSync(source, 'r');
  // What is read in part, because of a signal, is not used: only a whole pool may be taken from.
  taken = poolBytes;
  let filled = 0;
  while (filled < poolBytes) {
    const read = readSync(descriptor, pool, filled, poolBytes - filled, null);
    if (read === 0) throw new Error(`${source} has ended.`);
    filled += read;
  }
  taken = 0;
}
