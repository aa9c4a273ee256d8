// Writes an image of the store elsewhere: to a registry, a layout directory, an archive of one.
import { link, mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError } from '../base/errors.ts';
import { hexOf, type Digest } from './digest.ts';
import type { OperationOptions } from './operation.ts';
import { formatReference, type DockerReference, type Reference } from './reference.ts';
import type { StoreCore } from './store/core.ts';
import type { IndexEntry } from './store/index-file.ts';
import { writeLayout } from './transports/write-layout.ts';

/** Writes the image of `entry` to `reference`. */
export async function pushFromStore(
  core: StoreCore,
  entry: IndexEntry,
  reference: Reference,
  { signal, onProgress, credentials }: OperationOptions,
): Promise<void> {
  const { manifest } = await core.documents(entry.digest);
  const parts = [manifest.config, ...manifest.layers];
  await using workspace = await core.session.workspace();
  const blobs = path.join(workspace.path, 'blobs');
  await mkdir(blobs);
  const file = (digest: Digest) => path.join(blobs, hexOf(digest));
  // Links, as the image may be removed from the store meanwhile.
  for (const digest of new Set([entry.digest, ...parts.map((part) => part.digest)]))
    await link(core.blob(digest), file(digest));
  switch (reference.transport) {
    case 'docker': {
      const { pushImage } = await import('./registry/push.ts');
      const image = {
        manifest: await readFile(file(entry.digest)),
        blobs: parts,
        file,
        mountFrom: await core.unlocked((entries) => mountSources(core, entries, reference)),
      };
      const { registries: settings, logger, parallelFetches: parallel } = core.settings;
      await pushImage(reference, image, { settings, logger, parallel, credentials, signal, onProgress });
      return;
    }
    case 'oci':
    case 'oci-archive': {
      const blobDigests = [entry.digest, ...parts.map(({ digest }) => digest)];
      const { manifestBytes } = core.settings.limits;
      await writeLayout(reference, { entry, blobs: blobDigests, blob: file }, manifestBytes, signal);
      return;
    }
    default:
      throw new BabelhostError(
        'imageInvalid',
        `An image cannot be written to ${formatReference(reference)}: write it to a registry, to oci:DIR[:TAG] or to oci-archive:FILE[:TAG].`,
        { reference: formatReference(reference), reason: 'output' },
      );
  }
}

/** The repositories of the reference's registry that should have a blob, by the names of the store's images. */
async function mountSources(
  core: StoreCore,
  entries: readonly IndexEntry[],
  reference: DockerReference,
): Promise<(digest: Digest) => string[]> {
  const sources = new Map<Digest, Set<string>>();
  for (const { digest, names } of entries) {
    const repositories = names.flatMap((name) => {
      const repository = name.startsWith(`${reference.registry}/`)
        ? name.slice(reference.registry.length + 1).replace(/:[^/:]*$/, '')
        : reference.repository;
      return repository === reference.repository ? [] : [repository];
    });
    if (repositories.length === 0) continue;
    const { manifest } = await core.documents(digest);
    for (const part of [manifest.config, ...manifest.layers]) {
      const known = sources.get(part.digest) ?? new Set();
      for (const repository of repositories) known.add(repository);
      sources.set(part.digest, known);
    }
  }
  return (digest) => [...(sources.get(digest) ?? [])].slice(0, 2);
}
