// Where things lie under a store's root. The root itself is an OCI image layout (image-spec, "Image Layout").
import { closeSync, fsync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';
import { formatIndex } from '../documents.ts';
import { hexOf, type Digest } from '../digest.ts';

/** The disk's work is left to Node's threads; the calls around it take less time than asking them. */
const sync = promisify(fsync);

/** Whom a store is open to: its owner alone, or everyone, for reading its images with other programs. */
export type StoreAccess = 'owner' | 'everyone';

/** The paths of a store. */
export interface StoreLayout {
  readonly root: string;
  readonly access: StoreAccess;
  /** The mode of the files in the root that others may read where the store is open to them. */
  readonly fileMode: number;
  /** Held (flock) by whoever changes index.json or what it refers to. */
  readonly lock: string;
  readonly index: string;
  readonly blobs: string;
  /** Unpacked images, a folder for each manifest's digest. */
  readonly rootfs: string;
  /** What layers unpacked to, a folder for each diff id, to share their files between images. */
  readonly layers: string;
  /** Who uses which image's rootfs: files named `<manifest digest>.<session>`. */
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

/** Makes the folder of a store where it is missing: its owner's alone, the folders above it as they usually are. */
export function makeRoot(root: string): void {
  mkdirSync(path.dirname(root), { recursive: true });
  mkdirSync(root, { recursive: true, mode: 0o700 });
}

/**
 * Makes the folders of a store where they are missing. At once, because a process that opens a store serves nobody yet, and
 * has them already but for the first time.
 * @throws BabelhostError `notFound` if the root is closed to this user.
 */
export function makeLayout(layout: StoreLayout): void {
  const { root } = layout;
  makeRoot(root);
  try {
    for (const folder of [layout.rootfs, layout.blobs, layout.layers, layout.leases, layout.sessions, layout.tmp]) {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
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
  if ((await readOrUndefined(index)) === undefined) await replaceFile(index, formatIndex([]), beside, fileMode);
  const marker = path.join(root, 'oci-layout');
  if ((await readOrUndefined(marker)) === undefined)
    await replaceFile(marker, Buffer.from(layoutMarker), beside, fileMode);
}

/**
 * Checks that a folder says it is an image layout of the version we know.
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
    // Not JSON: there is no version, and the message below says so.
  }
  if (typeof version !== 'string' || !version.startsWith('1.')) {
    throw new BabelhostError(
      'imageInvalid',
      `The file 'oci-layout' at ${where} does not name a version 1 of the image layout.`,
      { path: where, reason: 'oci-layout' },
    );
  }
}

/** A file's content, or undefined where there is none. */
export async function readOrUndefined(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * The same of a small file of the store's own, at once: Node's threads would take four turns for it, and a host's first
 * answer waits. Not for other folders, where whoever made them may have put anything in the place of a file.
 */
export function readOwnFile(file: string): Buffer | undefined {
  try {
    return readFileSync(file);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Puts `bytes` in the place of a file in one step that also holds if power fails: write in the folder `beside`, sync,
 * rename, sync.
 * @param mode - of the new file, apart from the umask.
 */
export async function replaceFile(file: string, bytes: Buffer, beside: string, mode: number): Promise<void> {
  const written = path.join(beside, `${path.basename(file)}.new`);
  const fd = openSync(written, 'w', mode);
  try {
    writeFileSync(fd, bytes);
    await sync(fd);
  } finally {
    closeSync(fd);
  }
  await rename(written, file);
  await syncFolder(path.dirname(file));
}

/** Makes what was created, renamed or removed in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const fd = openSync(folder, 'r');
  try {
    await sync(fd);
  } finally {
    closeSync(fd);
  }
}
