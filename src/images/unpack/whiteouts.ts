// Removes things from a root directory: what entries replace, and what whiteouts hide of lower layers (OCI image spec,
// "Whiteouts").
import { lstatSync, mkdirSync, readdirSync, renameSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../../base/errors.ts';
import type { TarEntry } from '../tar/entry.ts';
import { entryError, insidePath, joined, splitPath, type RootDirectory } from './root-directory.ts';

const whiteoutPrefix = '.wh.';
const opaqueWhiteout = '.wh..wh..opq';

/**
 * Removes from one root. Folders are moved aside, and removed with the workspace: doing that here would keep the event loop
 * for as long as an image likes.
 */
export class Removal {
  readonly #root: RootDirectory;
  readonly #aside: string;
  #moved = 0;

  /** @param aside - a folder of the same file system, made when needed; its removal is the caller's. */
  constructor(root: RootDirectory, aside: string) {
    this.#root = root;
    this.#aside = aside;
  }

  /** Removes one name in a folder with all below it, if it is there. */
  remove(folder: string, name: string): void {
    const parent = this.#root.directory(folder);
    if (parent === undefined) return;
    const target = insidePath(parent, name);
    let found;
    try {
      found = lstatSync(target);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return;
      throw error;
    }
    if (found.isDirectory()) {
      mkdirSync(this.#aside, { recursive: true, mode: 0o700 });
      this.#moved += 1;
      renameSync(target, join(this.#aside, String(this.#moved)));
    } else unlinkSync(target);
    // Open directories may have been in it, or found through it.
    if (found.isDirectory() || found.isSymbolicLink()) this.#root.forget();
  }

  /** Empties the directory at `path`, a path without links. */
  empty(path: string): void {
    const [folder, name] = splitPath(path);
    this.remove(folder, name);
    const parent = this.#root.directory(folder);
    // Its metadata is set in the end, as that of every directory.
    if (parent !== undefined) mkdirSync(insidePath(parent, name), 0o700);
  }
}

/** Whether an entry hides others. */
export function isWhiteout(name: string): boolean {
  return name.startsWith(whiteoutPrefix);
}

/** Applies whiteouts, which spare what their own layer has. */
export class Whiteouts {
  readonly #root: RootDirectory;
  readonly #removal: Removal;
  /** The current layer's paths, and the folders above them; undefined in the lowest layer, where whiteouts do nothing. */
  #upper: Set<string> | undefined;
  #layers = 0;

  constructor(root: RootDirectory, removal: Removal) {
    this.#root = root;
    this.#removal = removal;
  }

  /** Begins the next layer up. */
  beginLayer(): void {
    this.#upper = this.#layers === 0 ? undefined : new Set();
    this.#layers += 1;
  }

  /** Notes that this layer has `path`, and so the folders above it. */
  touch(path: string): void {
    const upper = this.#upper;
    if (upper === undefined) return;
    for (let at = path; at !== '' && !upper.has(at); at = at.slice(0, Math.max(0, at.lastIndexOf('/')))) upper.add(at);
  }

  /**
   * Removes what the whiteout `name` in `folder` hides.
   * @throws BabelhostError `imageInvalid` if that is outside of the folder.
   */
  apply(entry: TarEntry, folder: string, name: string): void {
    if (this.#upper === undefined) return;
    const opaque = name === opaqueWhiteout;
    const hidden = name.slice(whiteoutPrefix.length);
    if (!opaque) {
      if (hidden === '' || hidden === '.' || hidden === '..') {
        throw entryError(entry.name, 'it is a whiteout of something outside its folder');
      }
      // AUFS's own records (.wh..wh.plnk and others), which old Docker images contain.
      if (hidden.startsWith(whiteoutPrefix)) return;
    }
    const parent = this.#root.directory(folder);
    if (parent === undefined) return;
    if (opaque) this.#removeLowerIn(parent.path);
    else this.#removeLower(joined(parent, hidden));
  }

  /** Removes what is at `path`, a path without links, except what this layer has. */
  #removeLower(path: string): void {
    const [folder, name] = splitPath(path);
    if (this.#upper?.has(path) !== true) {
      this.#removal.remove(folder, name);
      return;
    }
    const parent = this.#root.directory(folder);
    // A file or a link of this layer has nothing in it.
    if (parent !== undefined && lstatSync(insidePath(parent, name)).isDirectory()) this.#removeLowerIn(path);
  }

  #removeLowerIn(path: string): void {
    const directory = this.#root.directory(path);
    if (directory === undefined) return;
    const names = readdirSync(`/proc/self/fd/${directory.fd}/.`, { encoding: 'buffer' });
    const found = names.map((name) => joined(directory, name.toString('latin1')));
    if (path !== '' && !found.some((below) => this.#upper?.has(below))) this.#removal.empty(path);
    else for (const below of found) this.#removeLower(below);
  }
}
