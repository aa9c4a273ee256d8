// Opens an image at whichever transport its reference names.
import path from 'node:path';
import { formatReference, type Reference } from '../reference.ts';
import type { Credentials } from '../registry/settings.ts';
import type { StoreSettings } from '../store/core.ts';
import { ArchiveFiles } from './archive-files.ts';
import { openDockerArchive } from './docker-archive.ts';
import { openOciArchive } from './oci-archive.ts';
import { openOciDirectory } from './oci-directory.ts';
import type { ImageSource } from './source.ts';

export interface OpenOptions {
  readonly settings: StoreSettings;
  /** A folder for what the transport has to keep while it is open. */
  readonly work: () => Promise<string>;
  readonly signal?: AbortSignal | undefined;
  /** For a registry, instead of those that files have. */
  readonly credentials?: Credentials | undefined;
}

/**
 * Opens a source for reading.
 * @throws BabelhostError `imageNotFound` if there is nothing at the reference.
 */
export async function openSource(
  reference: Reference,
  { settings, work, signal, credentials }: OpenOptions,
): Promise<ImageSource> {
  const name = formatReference(reference);
  const { limits } = settings;
  switch (reference.transport) {
    case 'oci':
      return await openOciDirectory(name, path.resolve(reference.path), reference.name, limits.manifestBytes);
    case 'oci-archive': {
      const archive = await ArchiveFiles.open(path.resolve(reference.path), name, work, limits, signal);
      return await openOciArchive(name, archive, reference.name, limits);
    }
    case 'docker': {
      // Loaded when they are needed, here and below: clients of HTTP are the larger part of a host's start.
      const { openRegistry } = await import('../registry/source.ts');
      return await openRegistry(reference, {
        settings: settings.registries,
        limits,
        logger: settings.logger,
        credentials,
        signal,
      });
    }
    case 'docker-archive': {
      const archive = await ArchiveFiles.open(path.resolve(reference.path), name, work, limits, signal);
      return await openDockerArchive(name, archive, reference, limits, signal);
    }
    case 'docker-daemon': {
      const { saveFromDaemon } = await import('./docker-daemon.ts');
      const file = await saveFromDaemon(reference.name, await work(), limits, signal);
      const archive = await ArchiveFiles.open(file, name, work, limits, signal);
      return await openDockerArchive(name, archive, {}, limits, signal);
    }
  }
}
