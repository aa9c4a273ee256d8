// The transports oci: and oci-archive: — an image layout in a folder, or in a tar archive. OCI image spec, "Image Layout".
import path from 'node:path';
import { BabelhostError } from '../../base/errors.ts';
import { openRegularFile, readRegularFile } from '../../base/regular-file.ts';
import { hexOf, type Digest } from '../digest.ts';
import { parseIndexDocument, refNameAnnotation, type Descriptor } from '../documents.ts';
import { overLimit } from '../limits.ts';
import { checkLayoutMarker, ifThere } from '../store/layout.ts';
import { missing, type ImageSource } from './source.ts';

/** How many bytes of a layer are read at a time. */
const readSize = 256 * 1024;

/** An oci-layout file has 30 bytes. */
const markerBytes = 1024;

/** The files of a layout, by their paths in it. ArchiveFiles is one. */
export interface LayoutFiles {
  /** A whole file, cut one byte after `limit`; undefined if it is not there. */
  read(file: string, limit: number): Promise<Buffer | undefined>;
  /** A file's bytes; undefined if it is not there. */
  stream(
    file: string,
    signal?: AbortSignal,
  ): AsyncIterable<Buffer> | undefined | Promise<AsyncIterable<Buffer> | undefined>;
}

/** The files of the layout in a folder, which may come from anybody. */
export function directoryFiles(directory: string): LayoutFiles {
  return {
    read: (file, limit) => ifThere(readRegularFile(path.join(directory, file), limit)),
    stream: async (file, signal) => {
      const handle = await ifThere(openRegularFile(path.join(directory, file)));
      return handle?.createReadStream({ highWaterMark: readSize, ...(signal === undefined ? {} : { signal }) });
    },
  };
}

/**
 * Opens an image of a layout.
 * @param refName - which of its images; undefined for the only one.
 * @throws BabelhostError `imageNotFound` or `imageInvalid` if the files are no layout.
 */
export async function openLayout(
  name: string,
  files: LayoutFiles,
  refName: string | undefined,
  maxIndexBytes: number,
): Promise<ImageSource> {
  checkLayoutMarker(await readMarker(files), name);
  const place = (digest: Digest) => `blobs/sha256/${hexOf(digest)}`;
  return {
    name,
    top: async () => {
      const descriptors = await readLayoutIndex(files, name, maxIndexBytes);
      if (descriptors === undefined) throw missing(name, 'index.json');
      return { kind: 'descriptors', descriptors: named(descriptors, refName, name) };
    },
    document: async ({ digest, size }) => {
      const bytes = await files.read(place(digest), size);
      if (bytes === undefined) throw missing(name, digest);
      return bytes;
    },
    blob: async function* ({ digest }, signal) {
      const stream = await files.stream(place(digest), signal);
      if (stream === undefined) throw missing(name, digest);
      yield* stream;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The content of a layout's file oci-layout; undefined if there is none. */
export function readMarker(files: LayoutFiles): Promise<Buffer | undefined> {
  return files.read('oci-layout', markerBytes);
}

/**
 * The descriptors in a layout's index; undefined if there is no index.
 * @param name - of the layout, for messages.
 * @throws BabelhostError `imageInvalid` if it is no index, or has more than `maxBytes`.
 */
export async function readLayoutIndex(
  files: LayoutFiles,
  name: string,
  maxBytes: number,
): Promise<readonly Descriptor[] | undefined> {
  const bytes = await files.read('index.json', maxBytes);
  if (bytes === undefined) return undefined;
  if (bytes.length > maxBytes) throw overLimit('manifestBytes', maxBytes, `The index of ${name}`);
  return parseIndexDocument(bytes, `The index of ${name}`);
}

/**
 * The descriptors that have a name, or all of them if none is asked for and they are of one image.
 * @throws BabelhostError `imageNotFound`, listing the names that there are.
 */
function named(descriptors: readonly Descriptor[], refName: string | undefined, name: string): Descriptor[] {
  const nameOf = (descriptor: Descriptor) => descriptor.annotations?.[refNameAnnotation];
  const names = [...new Set(descriptors.flatMap((descriptor) => nameOf(descriptor) ?? []))];
  if (refName === undefined) {
    const distinct = new Set(descriptors.map((descriptor) => nameOf(descriptor) ?? descriptor.digest));
    const digests = new Set(descriptors.map(({ digest }) => digest));
    // One image may have several names, and several platforms one name.
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
