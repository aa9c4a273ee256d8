// The transport oci-archive: — an image layout in a tar archive.
import { BabelhostError } from '../../base/errors.ts';
import { parseIndexDocument } from '../documents.ts';
import { hexOf, type Digest } from '../digest.ts';
import { overLimit, type ImageLimits } from '../limits.ts';
import { checkLayoutMarker } from '../store/layout.ts';
import type { ArchiveFiles } from './archive-files.ts';
import { named } from './oci-directory.ts';
import type { ImageSource } from './source.ts';

/** The source of the image named `refName` (or the only one) in an archive that is open. */
export async function openOciArchive(
  name: string,
  archive: ArchiveFiles,
  refName: string | undefined,
  limits: ImageLimits,
): Promise<ImageSource> {
  checkLayoutMarker(await archive.read('oci-layout', 1024), name);
  const missing = (what: string) =>
    new BabelhostError('imageNotFound', `${what} is missing in ${name}: the archive is incomplete.`, {
      reference: name,
      missing: what,
    });
  const file = (digest: Digest) => `blobs/sha256/${hexOf(digest)}`;
  return {
    name,
    top: async () => {
      const bytes = await archive.read('index.json', limits.manifestBytes);
      if (bytes === undefined) throw missing('index.json');
      if (bytes.length > limits.manifestBytes)
        throw overLimit('manifestBytes', limits.manifestBytes, `The index of ${name}`);
      return {
        kind: 'descriptors',
        descriptors: named(parseIndexDocument(bytes, `The index of ${name}`), refName, name),
      };
    },
    document: async ({ digest, size }) => {
      const bytes = await archive.read(file(digest), size);
      if (bytes === undefined) throw missing(digest);
      return bytes;
    },
    blob: ({ digest }, { signal }) => {
      const stream = archive.stream(file(digest), signal);
      if (stream === undefined) throw missing(digest);
      return stream;
    },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
