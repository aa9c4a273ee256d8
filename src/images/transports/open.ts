// Opens an image at whichever transport its reference names.
import path from 'node:path';
import { BabelhostError } from '../../errors.ts';
import { formatReference, type Reference } from '../reference.ts';
import type { StoreSettings } from '../store/core.ts';
import { openOciDirectory } from './oci-directory.ts';
import type { ImageSource } from './source.ts';

/**
 * Opens a source for reading.
 * @throws BabelhostError `imageNotFound` if there is nothing at the reference.
 */
export async function openSource(reference: Reference, settings: StoreSettings): Promise<ImageSource> {
  const name = formatReference(reference);
  const { limits } = settings;
  switch (reference.transport) {
    case 'oci':
      return await openOciDirectory(name, path.resolve(reference.path), reference.name, limits.manifestBytes);
    default:
      throw new BabelhostError('imageNotFound', `${name}: not yet`, { reference: name });
  }
}
