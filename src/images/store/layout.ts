// Where things lie under a store's root. The root itself is an OCI image layout (image-spec, "Image Layout").
import { statSync } from 'node:fs';
import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { syncFolder } from '../../base/sync-folder.ts';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';
import { formatIndex } from '../documents.ts';
import { hexOf, type Digest } from '../digest.ts';

/** Who may read a store's images with other programs: its owner only, or everyone. */
export type StoreAccess = 'owner' | 'everyone';

/** The paths of a store. */
export interface StoreLayout {
  readonly root: string;
  readonly access: StoreAccess;
  /** The mode of the files in the root that `access` opens to others. */
  readonly fileMode: number;
  /** Held (flock) by whoever changes index.json or what it refers to. */
  readonly lock: string;
  readonly index: string;
  readonly blobs: string;
  /** Unpacked images, a folder for each manifest's digest. */
  readonly rootfs: string;
  /** Unpacked layers, a folder for each diff id, whose files images share. */
  readonly layers: string;
  /** Uses of an image's rootfs: files named `<manifest digest>.<session>`. */
  readonly leases: string;
  /** Lock files, each held by a living process for as long as it uses the store. */
  readonly sessions: string;
  /** Work in progress, in folders named `<session>.<number>`. */
  readonly tmp: string;
}

/** The paths of the store at `root`. */
export function storeLayout(root: string, access: StoreAccess): StoreLayout {
  const at = (name: string) => path.join(root, name);
  return {
    root,
    access,
    fileMode: access === 'everyone' ? 0o644 : 0o600,
    lock: at('lock'),
    index: at('index.json'),
    blobs: at('blobs/sha256'),
    rootfs: at('rootfs'),
    layers: at('layers'),
    leases: at('leases'),
    sessions: at('sessions'),
    tmp: at('tmp'),
  };
}

/** The path of a blob of the layout directory `root`. */
export function blobPath(root: string, digest: Digest): string {
  return path.join(root, 'blobs', 'sha256', hexOf(digest));
}

/** The content of an oci-layout file. OCI image spec, "oci-layout file". */
export const layoutMarker = '{"imageLayoutVersion":"1.0.0"}';

/** Makes a store's folder where it is missing: open to its owner only, the folders above it with the usual mode. */
export async function makeRoot(root: string): Promise<void> {
  await mkdir(path.dirname(root), { recursive: true });
  await mkdir(root, { recursive: true, mode: 0o700 });
}

/**
 * Makes the folders of a store where they are missing.
 * @throws BabelhostError `notFound` if the root is closed to this user.
 */
export async function makeLayout(layout: StoreLayout): Promise<void> {
  const { root } = layout;
  await makeRoot(root);
  try {
    for (const folder of [layout.rootfs, layout.blobs, layout.layers, layout.leases, layout.sessions, layout.tmp]) {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    }
  } catch (error) {
    if (systemErrorCode(error) !== 'EACCES') throw error;
    throw new BabelhostError(
      'notFound',
      `There is no store at ${root} that this user may use, as it is closed to all but its owner: choose another with --root.`,
      { path: root },
      { cause: error },
    );
  }
}

/**
 * Writes oci-layout and an empty index.json into a store that lacks them.
 * @param beside - a folder of the same file system for what is half written.
 */
export async function makeLayoutFiles({ root, index, fileMode }: StoreLayout, beside: string): Promise<void> {
  if (!exists(index)) await replaceFile(index, formatIndex([]), beside, fileMode);
  const marker = path.join(root, 'oci-layout');
  if (!exists(marker)) await replaceFile(marker, Buffer.from(layoutMarker), beside, fileMode);
}

/**
 * Checks the content of a folder's oci-layout file.
 * @throws BabelhostError `imageInvalid`, or `imageNotFound` if there is no oci-layout file.
 */
export function checkLayoutMarker(bytes: Buffer | undefined, where: string): void {
  if (bytes === undefined) {
    throw new BabelhostError(
      'imageNotFound',
      `There is no OCI image layout at ${where}: it has no file 'oci-layout'.`,
      { path: where },
    );
  }
  let version: unknown;
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof value === 'object' && value !== null && 'imageLayoutVersion' in value)
      version = value.imageLayoutVersion;
  } catch {
    // Not JSON, so without a version: refused below.
  }
  if (typeof version !== 'string' || !version.startsWith('1.')) {
    throw new BabelhostError(
      'imageInvalid',
      `The file 'oci-layout' at ${where} does not name a version 1 of the image layout.`,
      { path: where, reason: 'oci-layout' },
    );
  }
}

/** What an operation on a file comes to; undefined if there is no such file. */
export async function ifThere<Value>(operation: Promise<Value>): Promise<Value | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whether there is something at `file`, links followed; errors other than its absence are thrown. */
export function exists(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false }) !== undefined;
}

/** Names in a folder of the store; none if the folder is gone. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await ifThere(readdir(folder))) ?? [];
}

/**
 * Replaces a file in one step that also holds if power fails: write in the folder `beside`, sync, rename, sync.
 * @param mode - of the new file, less the umask.
 */
export async function replaceFile(file: string, bytes: Buffer, beside: string, mode: number): Promise<void> {
  const written = path.join(beside, `${path.basename(file)}.new`);
  await writeFile(written, bytes, { mode, flush: true });
  await rename(written, file);
  await syncFolder(path.dirname(file));
}
