// Collects the files of a recipe's layer into a sorted list of entries, which is the same on every machine.
import { isUtf8 } from 'node:buffer';
import { access, constants, glob, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import picomatch from 'picomatch';
import { systemErrorCode } from '../../base/errors.ts';
import type { WrittenEntry } from '../tar/writer.ts';
import { LibraryFinder, MissingLibraryError } from './libraries.ts';
import type { PlacedFile } from './search-folders.ts';
import { recipeError, type Recipe, type RecipeFiles, type RecipeLayer } from './recipe.ts';

/** Folders within folders: more is a link that leads in a circle. */
const depthLimit = 64;

/** Collects layer after layer of one recipe. */
export class FileCollector {
  readonly #folder: string;
  readonly #recipeFile: string;
  readonly #libraries = new LibraryFinder();
  /** Folders of earlier layers: another entry would undo their metadata. */
  readonly #folders = new Set<string>();
  /** What lies at each absolute path in the image, earlier layers included: the file of this machine. */
  readonly #placed = new Map<string, string>();
  readonly #hasBase: boolean;

  constructor(folder: string, recipe: Recipe) {
    this.#folder = folder;
    this.#recipeFile = path.join(folder, 'image.toml');
    this.#hasBase = recipe.base !== undefined;
  }

  /** The entries of a layer, folders before what is in them. Of two with one name the later one counts. */
  async collect(layer: RecipeLayer, directories: readonly string[]): Promise<WrittenEntry[]> {
    const entries = new Map<string, WrittenEntry>();
    const wanting: PlacedFile[] = [];
    const add: Add = (entry, { source, wantsLibraries = false } = {}) => {
      entries.set(entry.name, entry);
      const to = `/${entry.name}`;
      if (source === undefined) this.#placed.delete(to);
      else this.#placed.set(to, source);
      if (source !== undefined && wantsLibraries) wanting.push({ to, source });
    };
    for (const directory of directories) {
      const name = nameInArchive(directory);
      if (name !== '') add({ name, kind: 'directory', mode: /^(?:var\/)?tmp$/.test(name) ? 0o1777 : 0o755 });
    }
    for (const files of layer.files) await this.#files(files, add);
    for (const { name, to } of layer.executables) await this.#executable(name, to, add);
    // Once all is collected, as the libraries of one file may be among the others.
    for (const file of wanting) await this.#addLibraries(file, add);
    // With a base, the folders above are as it has them.
    if (!this.#hasBase) {
      for (const name of [...entries.keys()]) {
        for (let at = path.dirname(name); at !== '.' && !entries.has(at); at = path.dirname(at)) {
          if (!this.#folders.has(at)) add({ name: at, kind: 'directory', mode: 0o755 });
        }
      }
    }
    for (const { name, kind } of entries.values()) if (kind === 'directory') this.#folders.add(name);
    const sorted = [...entries.values()].sort((a, b) => Buffer.compare(sortKey(a), sortKey(b)));
    return sorted;
  }

  async #files(files: RecipeFiles, add: Add): Promise<void> {
    const excluded = excluder(files.exclude);
    const addAll = async (source: string, to: string, relative: string) => {
      await this.#tree({ files, excluded, add, source, to, relative, depth: 0, within: source });
    };
    if (files.module !== undefined) {
      await addAll(this.#module(files.module), files.to, '');
      return;
    }
    const from = path.resolve(this.#folder, files.from ?? '');
    const { base, isGlob } = picomatch.scan(from);
    if (!isGlob) {
      const found = await this.#stat(from);
      const place = found.isFile() && files.to.endsWith('/') ? `${files.to}${path.basename(from)}` : files.to;
      await addAll(from, place, '');
      return;
    }
    const matches: string[] = [];
    for await (const match of glob(from)) matches.push(match);
    if (matches.length === 0) throw this.#error(`nothing matches '${files.from ?? ''}'`);
    for (const match of matches.sort()) {
      const relative = path.relative(base, match);
      if (!excluded(relative)) await addAll(match, path.posix.join(files.to, relative), relative);
    }
  }

  /** The folder of an npm package, as Node would find it from the recipe's folder. */
  #module(name: string): string {
    for (const folder of createRequire(this.#recipeFile).resolve.paths(name) ?? []) {
      const candidate = path.join(folder, name);
      try {
        // Folder by folder, as a package's exports may hide its package.json from require.resolve.
        createRequire(path.join(candidate, 'package.json')).resolve('./package.json');
        return candidate;
      } catch (error) {
        if (systemErrorCode(error) !== 'MODULE_NOT_FOUND') throw error;
      }
    }
    throw this.#error(`the npm package '${name}' is not installed: run 'npm install' where it is wanted`);
  }

  async #tree(walk: Walk): Promise<void> {
    const { files, source, to, add } = walk;
    if (walk.depth > depthLimit) throw this.#error(`${source} lies more than ${depthLimit} folders deep`);
    const found = await this.#stat(source);
    const name = nameInArchive(to);
    if (found.isDirectory()) {
      if (name !== '') add({ name, kind: 'directory', mode: 0o755 });
      for (const child of await readdir(source, { withFileTypes: true, encoding: 'buffer' })) {
        const childName = child.name.toString();
        const relative = path.posix.join(walk.relative, childName);
        if (walk.excluded(relative)) continue;
        if (files.module !== undefined && relative === 'node_modules') continue;
        this.#checkText(child.name, `${source} has a file whose name`);
        const below = {
          ...walk,
          source: path.join(source, childName),
          to: path.posix.join(to, childName),
          relative,
          depth: walk.depth + 1,
        };
        if (child.isSymbolicLink() && (await this.#link(below))) continue;
        await this.#tree(below);
      }
      return;
    }
    if (!found.isFile()) throw this.#error(`${source} is neither a file nor a folder`);
    if (name === '') throw this.#error(`${source} is a file and cannot be the root`);
    const mode = files.mode ?? ((found.mode & 0o111) === 0 ? 0o644 : 0o755);
    const content = { path: source, size: found.size };
    add({ name, kind: 'file', mode, content }, { source, wantsLibraries: files.libraries });
  }

  /** Keeps a link whose target is collected too, or is missing; others are followed. True if it was kept. */
  async #link({ source, within, to, add }: Walk): Promise<boolean> {
    const bytes = await readlink(source, 'buffer');
    const link = bytes.toString();
    let target: string | undefined;
    try {
      target = await realpath(source);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT' && systemErrorCode(error) !== 'ELOOP') throw error;
    }
    const inside = path.relative(await realpath(within), target ?? '/');
    const goesAlong = !path.isAbsolute(link) && inside !== '' && !inside.startsWith('..') && !path.isAbsolute(inside);
    if (target !== undefined && !goesAlong) return false;
    this.#checkText(bytes, `${source} is a link whose target`);
    add({ name: nameInArchive(to), kind: 'symbolicLink', mode: 0o777, link }, { source });
    return true;
  }

  /** Refuses what the writer of archives, which takes text, would write as something else. */
  #checkText(bytes: Buffer, what: string): void {
    if (isUtf8(bytes)) return;
    const shown = bytes
      .toString('latin1')
      .replaceAll(/[^\x20-\x7e]/g, (byte) => `\\x${Buffer.from(byte, 'latin1').toString('hex')}`);
    throw this.#error(`${what} is not UTF-8 (${shown}): rename it, or leave it out with \`exclude\``);
  }

  async #executable(name: string, to: string | undefined, add: Add): Promise<void> {
    const file = await realpath(await this.#which(name));
    const found = await stat(file);
    if ((await this.#libraries.elf(file)) === undefined) {
      throw this.#error(
        `the executable '${name}' is ${file}, which is no ELF program but a script: name the real program by its absolute path`,
      );
    }
    const content = { path: file, size: found.size };
    add(
      { name: nameInArchive(to ?? file), kind: 'file', mode: 0o755, content },
      { source: file, wantsLibraries: true },
    );
  }

  async #which(name: string): Promise<string> {
    if (path.isAbsolute(name)) {
      await this.#stat(name);
      return name;
    }
    if (name.includes('/')) throw this.#error(`the executable '${name}' must be a name on PATH or an absolute path`);
    for (const folder of (process.env['PATH'] ?? '').split(path.delimiter)) {
      if (folder === '') continue;
      const file = path.resolve(folder, name);
      try {
        await access(file, constants.X_OK);
        if ((await stat(file)).isFile()) return file;
      } catch {
        // Not in this folder.
      }
    }
    throw this.#error(`the executable '${name}' is not on PATH`);
  }

  async #addLibraries(file: PlacedFile, add: Add): Promise<void> {
    let libraries;
    try {
      libraries = await this.#libraries.librariesOf(file, this.#placed);
    } catch (error) {
      if (!(error instanceof MissingLibraryError)) throw error;
      const { library, searched } = error;
      throw recipeError(this.#recipeFile, error.message, { library, searched });
    }
    for (const { to, source } of libraries) {
      const { size } = await stat(source);
      add({ name: nameInArchive(to), kind: 'file', mode: 0o755, content: { path: source, size } }, { source });
    }
  }

  async #stat(file: string) {
    try {
      return await stat(file);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') throw this.#error(`there is no ${file}`);
      throw error;
    }
  }

  #error(reason: string) {
    return recipeError(this.#recipeFile, reason);
  }
}

/**
 * Adds an entry to a layer. With `source`, the file of this machine that it is, or that it is a link to, it is found by those that
 * want libraries.
 */
type Add = (entry: WrittenEntry, from?: { readonly source?: string; readonly wantsLibraries?: boolean }) => void;

/** One step of the way through a folder. */
interface Walk {
  readonly files: RecipeFiles;
  readonly excluded: (relative: string) => boolean;
  readonly add: Add;
  readonly source: string;
  readonly to: string;
  /** From the folder that was named. */
  readonly relative: string;
  readonly depth: number;
  /** The folder that was named. */
  readonly within: string;
}

/** Whether a path relative to a folder is left out. */
function excluder(patterns: readonly string[]): (relative: string) => boolean {
  const matchers = patterns
    .flatMap((pattern) => (pattern.endsWith('/**') ? [pattern, pattern.slice(0, -'/**'.length)] : [pattern]))
    .map((pattern) => picomatch(pattern, { dot: true }));
  return (relative) => matchers.some((matches) => matches(relative));
}

function nameInArchive(place: string): string {
  return path.posix.normalize(place).replace(/^\/+/, '').replace(/\/+$/, '');
}

/** Sorts a folder right before what is in it. */
function sortKey(entry: WrittenEntry): Buffer {
  return Buffer.from(entry.name.replaceAll('/', '\u0001'));
}
