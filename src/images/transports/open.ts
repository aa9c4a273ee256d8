// Opens an image at the transport that its reference names.
import path from 'node:path';
import type { OperationOptions } from '../operation.ts';
import { formatReference, type Reference } from '../reference.ts';
import type { StoreSettings } from '../store/core.ts';
import { ArchiveFiles } from './archive-files.ts';
import { openDockerArchive } from './docker-archive.ts';
import { directoryFiles, openLayout } from './oci-layout.ts';
import type { ImageSource } from './source.ts';

/**
 * Opens a source for reading.
 * @param work - a folder for what the transport has to keep while it is open.
 * @throws BabelhostError `imageNotFound` if there is nothing at the reference.
 */
export async function openSource(
  reference: Reference,
  { limits, registries, logger }: StoreSettings,
  work: string,
  { signal, credentials }: OperationOptions,
): Promise<ImageSource> {
  const name = formatReference(reference);
  const openArchive = (file: string) => ArchiveFiles.open(path.resolve(file), name, work, limits, signal);
  switch (reference.transport) {
    case 'oci': {
      const files = directoryFiles(path.resolve(reference.path));
      return await openLayout(name, files, reference.name, limits.manifestBytes);
    }
    case 'oci-archive':
      return await openLayout(name, await openArchive(reference.path), reference.name, limits.manifestBytes);
    case 'docker': {
      // Loaded here and below, as HTTP clients are the larger part of a host's start.
      const { openRegistry } = await import('../registry/source.ts');
      return await openRegistry(reference, { settings: registries, limits, logger, credentials, signal });
    }
    case 'docker-archive':
      return await openDockerArchive(name, await openArchive(reference.path), reference, limits, signal);
    case 'docker-daemon': {
      const { saveFromDaemon } = await import('./docker-daemon.ts');
      const archive = await openArchive(await saveFromDaemon(reference.name, work, limits, signal));
      return await openDockerArchive(name, archive, {}, limits, signal);
    }
  }
}
