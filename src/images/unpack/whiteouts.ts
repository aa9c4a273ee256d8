// What a layer hides of those below it: whiteouts and opaque whiteouts. OCI image spec, "Whiteouts".
import { lstatSync } from 'node:fs';
import type { TarEntry } from '../tar/entry.ts';
import type { Removal } from './removal.ts';
import { entryError, insidePath, joined, type RootDirectory } from './root-directory.ts';

const whiteoutPrefix = '.wh.';
const opaqueWhiteout = '.wh..wh..opq';

/** Whether an entry is one that hides others. */
export function isWhiteout(name: string): boolean {
  return name.startsWith(whiteoutPrefix);
}

/** Applies whiteouts, and knows what the current layer has itself, which they spare. */
export class Whiteouts {
  readonly #root: RootDirectory;
  readonly #removal: Removal;
  /** Paths that the current layer put there, and the folders above them; none are noted in the lowest layer. */
  #upper: Set<string> | undefined;
  #layers = 0;

  constructor(root: RootDirectory, removal: Removal) {
    this.#root = root;
    this.#removal = removal;
  }

  /** Says that what follows is of the next layer up. */
  beginLayer(): void {
    // Whiteouts hide what lower layers have, never what their own layer has: in the lowest one they do nothing.
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
   * Hides what the whiteout `name` in `folder` stands for.
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
      // AUFS's own records (.wh..wh.plnk and such), which old Docker images carry along.
      if (hidden.startsWith(whiteoutPrefix)) return;
    }
    const parent = this.#root.directory(folder);
    if (parent === undefined) return;
    if (opaque) this.#removeLowerIn(parent.path);
    else this.#removeLower(joined(parent, hidden));
  }

  /** Removes what lies at `path`, a path without links, except what this layer put there. */
  #removeLower(path: string): void {
    const slash = path.lastIndexOf('/');
    const folder = path.slice(0, Math.max(0, slash));
    const name = path.slice(slash + 1);
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
    const found = this.#removal.namesIn(directory).map((name) => joined(directory, name));
    if (path !== '' && !found.some((below) => this.#upper?.has(below))) this.#removal.empty(path);
    else for (const below of found) this.#removeLower(below);
  }
}
