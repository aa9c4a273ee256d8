// Fetches one blob into a file, and verifies it.
import { createHash } from 'node:crypto';
import { link, open, rm, stat } from 'node:fs/promises';
import { systemErrorCode } from '../base/errors.ts';
import { freeMemory } from '../base/memory.ts';
import { digestMismatch, finish } from './digest.ts';
import { invalid, type Descriptor } from './documents.ts';
import { exists } from './store/layout.ts';
import type { ImageSource } from './transports/source.ts';

/** How many bytes are gathered before they are written: a call for each packet would take longer than the writing. */
const writeSize = 512 * 1024;

export interface FetchOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of bytes that the file has, which are not verified yet. */
  readonly onBytes?: (done: number) => void;
}

/**
 * Fetches a blob into the file `target`, and syncs its content; the folder is for the caller to sync. After a failure there
 * is no file.
 * @param known - the path of the store's own copy: if that is there it is linked, and nothing fetched.
 * @throws BabelhostError `digestMismatch`; `imageInvalid` if the length is not the descriptor's.
 */
export async function fetchBlob(
  source: ImageSource,
  descriptor: Descriptor,
  target: string,
  known: string,
  what: string,
  { signal, onBytes }: FetchOptions,
): Promise<void> {
  // Fetched already: an image may list a blob twice.
  if (exists(target) || (await linkKnown(known, target, descriptor.size))) {
    onBytes?.(descriptor.size);
    return;
  }
  const handle = await open(target, 'wx', 0o644);
  try {
    const hash = createHash('sha256');
    let length = 0;
    let gathered: Uint8Array[] = [];
    let written = 0;
    const flush = async () => {
      const joined = Buffer.concat(gathered);
      await handle.writeFile(joined);
      freeMemory([joined]);
      gathered = [];
      written = length;
      onBytes?.(length);
    };
    for await (const chunk of source.blob(descriptor, signal)) {
      signal?.throwIfAborted();
      length += chunk.length;
      if (length > descriptor.size) {
        throw invalid(what, `it has more than the ${descriptor.size} bytes that its manifest says`);
      }
      hash.update(chunk);
      gathered.push(chunk);
      if (length - written >= writeSize) await flush();
    }
    await flush();
    // While other layers are still fetched or unpacked, rather than all in the end.
    await handle.datasync();
    const actual = finish(hash);
    if (length < descriptor.size) {
      throw invalid(what, `it ends after ${length} of the ${descriptor.size} bytes that its manifest says`);
    }
    if (actual !== descriptor.digest) throw digestMismatch(what, descriptor.digest, actual);
  } catch (error) {
    await rm(target, { force: true });
    throw error;
  } finally {
    await handle.close();
  }
}

/** Links the store's copy: the bytes then stay, whatever happens to the store's name for them. False if that cannot be. */
async function linkKnown(known: string, target: string, size: number): Promise<boolean> {
  try {
    await link(known, target);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'EMLINK' || code === 'EPERM') return false;
    throw error;
  }
  if ((await stat(target)).size === size) return true;
  await rm(target);
  return false;
}
