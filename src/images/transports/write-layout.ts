// Writes an image as an OCI image layout: a directory, or an archive of one. OCI image spec, "Image Layout".
import { constants, createWriteStream } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { hexOf, type Digest } from '../digest.ts';
import { formatIndex, mediaTypes, refNameAnnotation, type Descriptor } from '../documents.ts';
import type { LayoutReference } from '../reference.ts';
import type { IndexEntry } from '../store/index-file.ts';
import { blobPath, checkLayoutMarker, exists, layoutMarker, replaceFile } from '../store/layout.ts';
import { writeTar, type WrittenEntry } from '../tar/writer.ts';
import { directoryFiles, readLayoutIndex, readMarker } from './oci-layout.ts';

/** An image whose blobs are files of this machine. */
export interface LocalImage {
  readonly entry: Pick<IndexEntry, 'digest' | 'size' | 'platform'>;
  readonly blobs: readonly Digest[];
  readonly blob: (digest: Digest) => string;
}

/**
 * Writes the image to the reference's path. In a directory it replaces an image of the same name, and the rest stays. An
 * archive is replaced whole.
 * @param maxIndexBytes - of the index that the directory has.
 */
export async function writeLayout(
  reference: LayoutReference,
  image: LocalImage,
  maxIndexBytes: number,
  signal?: AbortSignal,
): Promise<void> {
  const { digest, size, platform } = image.entry;
  const descriptor: Descriptor = {
    mediaType: mediaTypes.manifest,
    digest,
    size,
    ...(platform === undefined ? {} : { platform }),
    ...(reference.name === undefined ? {} : { annotations: { [refNameAnnotation]: reference.name } }),
  };
  const target = path.resolve(reference.path);
  if (reference.transport === 'oci') await writeDirectory(target, descriptor, image, maxIndexBytes, signal);
  else await writeArchive(target, descriptor, image, signal);
}

async function writeDirectory(
  target: string,
  descriptor: Descriptor,
  image: LocalImage,
  maxIndexBytes: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  await mkdir(path.join(target, 'blobs', 'sha256'), { recursive: true });
  const present = await readMarker(directoryFiles(target));
  if (present !== undefined) checkLayoutMarker(present, target);
  const work = await mkdtemp(path.join(target, '.babelhost-'));
  try {
    for (const digest of image.blobs) {
      signal?.throwIfAborted();
      const place = blobPath(target, digest);
      if (exists(place)) continue;
      const beside = path.join(work, hexOf(digest));
      await copyFile(image.blob(digest), beside, constants.COPYFILE_FICLONE);
      await rename(beside, place);
    }
    const index = path.join(target, 'index.json');
    const before = (await readLayoutIndex(directoryFiles(target), target, maxIndexBytes)) ?? [];
    const name = descriptor.annotations?.[refNameAnnotation];
    const others = before.filter((other) => {
      const otherName = other.annotations?.[refNameAnnotation];
      return name === undefined ? otherName !== undefined || other.digest !== descriptor.digest : otherName !== name;
    });
    await replaceFile(index, formatIndex([...others, descriptor]), work, 0o644);
    if (present === undefined) {
      await replaceFile(path.join(target, 'oci-layout'), Buffer.from(layoutMarker), work, 0o644);
    }
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function writeArchive(
  target: string,
  descriptor: Descriptor,
  image: LocalImage,
  signal: AbortSignal | undefined,
): Promise<void> {
  const entries: WrittenEntry[] = [
    { name: 'oci-layout', kind: 'file', mode: 0o644, content: Buffer.from(layoutMarker) },
    { name: 'index.json', kind: 'file', mode: 0o644, content: formatIndex([descriptor]) },
    { name: 'blobs', kind: 'directory', mode: 0o755 },
    { name: 'blobs/sha256', kind: 'directory', mode: 0o755 },
  ];
  for (const digest of [...new Set(image.blobs)].sort()) {
    const file = image.blob(digest);
    const { size } = await stat(file);
    entries.push({ name: `blobs/sha256/${hexOf(digest)}`, kind: 'file', mode: 0o644, content: { path: file, size } });
  }
  const beside = `${target}.${process.pid}.partial`;
  try {
    const stream = createWriteStream(beside, { flags: 'wx', mode: 0o644, flush: true });
    await pipeline(writeTar(entries, 0), stream, signal === undefined ? {} : { signal });
    await rename(beside, target);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
