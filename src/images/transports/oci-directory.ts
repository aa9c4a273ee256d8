// The transport oci: — an image layout directory. OCI image spec, "Image Layout".
import path from 'node:path';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';
import { parseIndexDocument, refNameAnnotation, type Descriptor } from '../documents.ts';
import { overLimit } from '../limits.ts';
import { openRegularFile, readRegularFile } from '../../base/regular-file.ts';
import { blobPath, checkLayoutMarker } from '../store/layout.ts';
import type { ImageSource } from './source.ts';

/** How many bytes of a layer are read at a time. */
export const readSize = 256 * 1024;

/** An oci-layout file has 30 bytes. */
const markerBytes = 1024;

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
  checkLayoutMarker(await readMarker(directory), directory);
  return {
    name,
    top: async () => {
      const descriptors = await readLayoutIndex(directory, name, maxIndexBytes);
      if (descriptors === undefined) throw missing(name, 'index.json');
      return { kind: 'descriptors', descriptors: named(descriptors, refName, name) };
    },
    document: async (descriptor) => {
      const bytes = await readIfThere(blobPath(directory, descriptor.digest), descriptor.size);
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
    const handle = await openRegularFile(file);
    const stream = handle.createReadStream({ highWaterMark: readSize, ...(signal === undefined ? {} : { signal }) });
    for await (const chunk of stream as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw missing(name, descriptor.digest);
    throw error;
  }
}

/** The content of a layout directory's file oci-layout; undefined where there is none. */
export function readMarker(directory: string): Promise<Buffer | undefined> {
  return readIfThere(path.join(directory, 'oci-layout'), markerBytes);
}

/**
 * What the index of a layout directory lists; undefined where there is none.
 * @param name - of the layout, for messages.
 * @throws BabelhostError `imageInvalid` if it is no index, or has more than `maxBytes`.
 */
export async function readLayoutIndex(
  directory: string,
  name: string,
  maxBytes: number,
): Promise<readonly Descriptor[] | undefined> {
  const bytes = await readIfThere(path.join(directory, 'index.json'), maxBytes);
  if (bytes === undefined) return undefined;
  if (bytes.length > maxBytes) throw overLimit('manifestBytes', maxBytes, `The index of ${name}`);
  return parseIndexDocument(bytes, `The index of ${name}`);
}

/** A whole file, or undefined; what is over `limit` bytes is cut one byte after it, for whoever verifies to see. */
async function readIfThere(file: string, limit: number): Promise<Buffer | undefined> {
  try {
    return await readRegularFile(file, limit);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
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
