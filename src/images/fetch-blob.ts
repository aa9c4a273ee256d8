// Brings one blob into a folder, verified: nothing that it should not be ever gets its name.
import { createHash } from 'node:crypto';
import { linkSync, statSync } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode } from '../base/errors.ts';
import { digestMismatch, finish, hexOf } from './digest.ts';
import { invalid, type Descriptor } from './documents.ts';
import type { ImageSource } from './transports/source.ts';

/** How many bytes are gathered before they are written: a call for each packet would take longer than the writing. */
const writeSize = 512 * 1024;

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined;
  /** Told of the file that the bytes are written to, before they are verified. */
  readonly onFile?: (file: string) => void;
  /** Told of the bytes that are there. */
  readonly onBytes?: (done: number) => void;
}

/**
 * Fetches the blob into `folder`, under its digest's hexadecimal digits. Its bytes are on the disk then; that its name is,
 * is seen to once for all of an image.
 * @param known - the store's own copy, if it should have one: then that is linked, and nothing fetched.
 * @throws BabelhostError `digestMismatch`; `imageInvalid` if the length is not the descriptor's.
 */
export async function fetchBlob(
  source: ImageSource,
  descriptor: Descriptor,
  folder: string,
  known: string,
  what: string,
  { signal, onFile, onBytes }: FetchOptions,
): Promise<string> {
  const target = path.join(folder, hexOf(descriptor.digest));
  if (await linkKnown(known, target, descriptor.size)) {
    onBytes?.(descriptor.size);
    return target;
  }
  const partial = `${target}.partial`;
  const handle = await open(partial, 'wx', 0o644);
  onFile?.(partial);
  try {
    const hash = createHash('sha256');
    let length = 0;
    let gathered: Uint8Array[] = [];
    let gatheredBytes = 0;
    const flush = async () => {
      await writeAll(handle, gathered, gatheredBytes);
      gathered = [];
      gatheredBytes = 0;
      onBytes?.(length);
    };
    for await (const chunk of source.blob(descriptor, { signal })) {
      signal?.throwIfAborted();
      length += chunk.length;
      if (length > descriptor.size) {
        throw invalid(what, `it has more than the ${descriptor.size} bytes that its manifest says`);
      }
      hash.update(chunk);
      gathered.push(chunk);
      gatheredBytes += chunk.length;
      if (gatheredBytes >= writeSize) await flush();
    }
    await flush();
    // Other layers are still being fetched or unpacked: the disk writes this one meanwhile, rather than all in the end.
    await handle.datasync();
    const actual = finish(hash);
    if (length < descriptor.size) {
      throw invalid(what, `it ends after ${length} of the ${descriptor.size} bytes that its manifest says`);
    }
    if (actual !== descriptor.digest) throw digestMismatch(what, descriptor.digest, actual);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
  await rename(partial, target);
  return target;
}

/** A hard link keeps the bytes for us, whatever happens to the store's name for them meanwhile. */
async function linkKnown(known: string, target: string, size: number): Promise<boolean> {
  try {
    linkSync(known, target);
  } catch (error) {
    switch (systemErrorCode(error)) {
      case 'EEXIST':
        return true;
      case 'ENOENT':
      case 'EMLINK':
      case 'EPERM':
        return false;
      default:
        throw error;
    }
  }
  if (statSync(target).size === size) return true;
  await rm(target);
  return false;
}

/** Writes chunks in one call, or more where the kernel takes less. */
async function writeAll(handle: FileHandle, chunks: readonly Uint8Array[], length: number): Promise<void> {
  if (length === 0) return;
  let { bytesWritten } = await handle.writev(chunks);
  if (bytesWritten === length) return;
  for (const chunk of chunks) {
    // What of this chunk is written already.
    let done = Math.min(bytesWritten, chunk.length);
    bytesWritten -= done;
    while (done < chunk.length) done += (await handle.write(chunk, done, chunk.length - done)).bytesWritten;
  }
}
