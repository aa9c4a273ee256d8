// Drivers as images: what makes an image a driver, and what the store's index says of it besides.
import { BabelhostError, messageOf } from '../../base/errors.ts';
import { packageFile } from '../../base/package.ts';
import type { Candidate, Digest, ImageStore, StoredImage } from '../../images/index.ts';
import { layout, manifestBytes, parseManifest, type Manifest } from './manifest.ts';
import { runLimitsSchema, type RunLimitsTable } from './run-limits.ts';

/** Annotations on a driver's entry in the index, under a name of our own (OCI image spec, "Annotations"). */
export const annotations = {
  language: 'io.babelhost.driver.language',
  reference: 'io.babelhost.driver.reference',
  installed: 'io.babelhost.driver.installed',
  limits: 'io.babelhost.driver.limits',
} as const;

export interface Driver {
  readonly language: string;
  /** Where the image came from. */
  readonly reference: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly installedAt?: string;
  /** Given at its installation. */
  readonly limits?: RunLimitsTable;
  readonly manifest: Manifest;
}

/**
 * Describes an image of the store as a driver.
 * @param known its manifest, where it is known already; else it is read from the image
 * @throws BabelhostError `driverMalformed`; `storageDirty` for annotations that babelhost did not write
 */
export async function describeDriver(store: ImageStore, image: StoredImage, known?: Manifest): Promise<Driver> {
  const manifest = known ?? (await readManifest((file) => store.read(image.digest, file, manifestBytes)));
  const installedAt = image.annotations[annotations.installed];
  const limits = parseLimits(image.annotations[annotations.limits]);
  return {
    language: image.annotations[annotations.language] ?? manifest.language,
    reference: image.annotations[annotations.reference] ?? image.names[0] ?? '',
    digest: image.digest,
    sizeBytes: image.size,
    ...(installedAt !== undefined && { installedAt }),
    ...(limits !== undefined && { limits }),
    manifest,
  };
}

/** @throws BabelhostError `storageDirty` */
function parseLimits(annotation: string | undefined): RunLimitsTable | undefined {
  if (annotation === undefined) return undefined;
  try {
    return runLimitsSchema().parse(JSON.parse(annotation));
  } catch (error) {
    throw new BabelhostError(
      'storageDirty',
      `The store's index has limits of a driver that are none (${annotation.slice(0, 200)}): install the driver again, with --update.`,
      { limits: annotation.slice(0, 1000) },
      { cause: error },
    );
  }
}

/** @throws BabelhostError `driverMalformed` */
export async function readManifest(read: (file: string, limitBytes: number) => Promise<Uint8Array>): Promise<Manifest> {
  let bytes: Uint8Array;
  try {
    bytes = await read(layout.manifest, manifestBytes);
  } catch (error) {
    throw new BabelhostError(
      'driverMalformed',
      `The image is no driver: its manifest ${layout.manifest} cannot be read (${messageOf(error)}).`,
      { path: layout.manifest, reason: messageOf(error) },
      { cause: error },
    );
  }
  return parseManifest(bytes);
}

/** @throws BabelhostError `driverMalformed` where the image has no parser that can be executed */
export async function requireNative(candidate: Candidate): Promise<void> {
  let reason: string;
  try {
    if ((await candidate.stat(layout.native)).executable) return;
    reason = 'it is not executable';
  } catch (error) {
    reason = messageOf(error);
  }
  throw new BabelhostError(
    'driverMalformed',
    `The image has no native parser at ${layout.native} (${reason}); see ${packageFile('docs/writing-a-driver.md')}.`,
    { path: layout.native, reason },
  );
}
