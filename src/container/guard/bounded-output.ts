// Reading what a program wrote, up to a bound: what runs in a container may not be what was started there.
import type { Readable } from 'node:stream';
import { readBytes } from './lines.ts';

export interface BoundedOutput {
  /** All of it, or as much as is within the bound. */
  readonly bytes: Buffer;
  /** Whether there was more. */
  readonly more: boolean;
}

/** Reads a stream to its end, or until there is more than `most` bytes, and destroys it then. One that breaks has ended. */
export async function readAtMost(stream: Readable, most: number): Promise<BoundedOutput> {
  const chunks: Buffer[] = [];
  let length = 0;
  await readBytes(stream, (chunk) => {
    if (length <= most) chunks.push(chunk.subarray(0, most - length));
    length += chunk.length;
    if (length > most) stream.destroy();
  });
  return { bytes: Buffer.concat(chunks), more: length > most };
}
