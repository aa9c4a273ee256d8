// The transport oci: — an image layout directory. OCI image spec, "Image Layout".
import { createReadStream } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError, systemErrorCode } from '../../errors.ts';
import { parseIndexDocument, refNameAnnotation, type Descriptor } from '../documents.ts';
import { overLimit } from '../limits.ts';
import { blobPath, checkLayoutMarker, readOrUndefined } from '../store/layout.ts';
import type { ImageSource } from './source.ts';

/** How many bytes of a layer are read at a time. */
export const readSize = 256 * 1024;

/**
 * Opens the layout directory at `directory`.
 * @param refName - which of its images; undefined for the only one.
 */
export async function openOciDirectory(
  name: string,
  directory: string,
  refName: string | undefined,
  maxIndexBytes: number,
): Promise<ImageSource> {
  checkLayoutMarker(await readOrUndefined(path.join(directory, 'oci-layout')), directory);
  return {
    name,
    top: async () => {
      const file = path.join(directory, 'index.json');
      const bytes = await readBounded(file, maxIndexBytes);
      if (bytes === undefined) throw missing(name, 'index.json');
      if (bytes.length > maxIndexBytes) throw overLimit('manifestBytes', maxIndexBytes, `The index of ${name}`);
      return {
        kind: 'descriptors',
        descriptors: named(parseIndexDocument(bytes, `The index of ${name}`), refName, name),
      };
    },
    document: async (descriptor) => {
      const bytes = await readBounded(blobPath(directory, descriptor.digest), descriptor.size);
      if (bytes === undefined) throw missing(name, descriptor.digest);
      return bytes;
    },
    blob: (descriptor, { signal }) => readBlob(blobPath(directory, descriptor.digest), name, descriptor, signal),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function* readBlob(
  file: string,
  name: string,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  try {
    const stream = createReadStream(file, { highWaterMark: readSize, ...(signal === undefined ? {} : { signal }) });
    for await (const chunk of stream as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw missing(name, descriptor.digest);
    throw error;
  }
}

/** A whole file; what is over `limit` bytes is cut one byte after it, for whoever verifies to see. */
async function readBounded(file: string, limit: number): Promise<Buffer | undefined> {
  let handle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    if (size <= limit) return await readFile(handle);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(limit + 1), 0, limit + 1, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/**
 * The descriptors of an index that carry a name, or all of them if none is asked for and they are of one name.
 * @throws BabelhostError `imageNotFound`, listing the names that there are.
 */
export function named(descriptors: readonly Descriptor[], refName: string | undefined, name: string): Descriptor[] {
  const nameOf = (descriptor: Descriptor) => descriptor.annotations?.[refNameAnnotation];
  const names = [...new Set(descriptors.flatMap((descriptor) => nameOf(descriptor) ?? []))];
  if (refName === undefined) {
    const distinct = new Set(descriptors.map((descriptor) => nameOf(descriptor) ?? descriptor.digest));
    const digests = new Set(descriptors.map(({ digest }) => digest));
    // One image under several names is still one image; images of one name are its platforms.
    if (distinct.size <= 1 || digests.size <= 1 || names.length === 0) return [...descriptors];
    throw new BabelhostError(
      'imageNotFound',
      `There are several images in ${name}: name one of ${names.slice(0, 20).join(', ')} after a colon.`,
      { reference: name, names },
    );
  }
  const found = descriptors.filter((descriptor) => nameOf(descriptor) === refName);
  if (found.length > 0) return found;
  throw new BabelhostError(
    'imageNotFound',
    `There is no image named '${refName}' in ${name}: ${names.length === 0 ? 'no image in it has a name' : `it has ${names.slice(0, 20).join(', ')}`}.`,
    { reference: name, names },
  );
}

function missing(name: string, what: string): BabelhostError {
  return new BabelhostError('imageNotFound', `${what} is missing in ${name}: the image layout is incomplete.`, {
    reference: name,
    missing: what,
  });
}
