// Finds the shared libraries that programs of this machine need, as the loader of the image will (ld.so(8)): it has the files
// that the image has, and no cache.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { readElf, type ElfFile } from './elf.ts';
import { readLoaderCache } from './loader-cache.ts';
import { expandTokens, type PlacedFile, type SearchFolder } from './search-folders.ts';

/** A library that is needed and nowhere to be found. */
export class MissingLibraryError extends Error {
  override readonly name = 'MissingLibraryError';
  readonly library: string;
  readonly searched: readonly string[];

  /** @param searched - the places, in the order of the search. */
  constructor(library: string, wantedBy: string, searched: readonly string[]) {
    super(
      `${wantedBy} needs the shared library ${library}, which is not where it was searched: ${searched.join(', ')}`,
    );
    this.library = library;
    this.searched = searched;
  }
}

/** The folders that glibc's and musl's loaders search. */
const standardFolders = ['/lib', '/usr/lib', '/lib64', '/usr/lib64', '/lib32', '/usr/lib32', '/usr/local/lib'];

/** Files that are in the image already: the file of this machine for each absolute path there. */
export type Collected = ReadonlyMap<string, string>;

/** An object whose libraries are wanted. */
interface Wanting extends PlacedFile {
  readonly elf: ElfFile;
  /** Folders of the RPATHs of what loads it, its nearest loader's first. */
  readonly inherited: readonly SearchFolder[];
}

/** Finds libraries, and reads each only once: the files of an image need much the same. */
export class LibraryFinder {
  readonly #elves = new Map<string, Promise<ElfFile | undefined>>();
  #cache: Promise<ReadonlyMap<string, readonly string[]>> | undefined;

  /**
   * The loader of a program and every library that it or they need, those left out that are collected.
   * @throws MissingLibraryError
   */
  async librariesOf(program: PlacedFile, collected: Collected = new Map()): Promise<PlacedFile[]> {
    const elf = await this.elf(program.source);
    if (elf === undefined) return [];
    const { interpreter } = elf;
    const found = new Map<string, PlacedFile>();
    // The file may be from anybody, and name any file of this machine: only a loader may get into the image.
    if (interpreter !== undefined) {
      const loader = await this.#at({ to: interpreter, source: interpreter }, elf, collected);
      if (loader === undefined) throw new MissingLibraryError(interpreter, program.source, [interpreter]);
      found.set(loader.to, loader);
    }
    const pending: Wanting[] = [{ ...program, elf, inherited: [] }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { rpath, runpath } = next.elf;
      const folders = (texts: readonly string[]) => this.#folders(texts, next);
      // An RPATH counts for what is loaded in turn, too. Beside a RUNPATH no RPATH counts, neither its own nor its loaders'.
      const inherited = [...(runpath.length > 0 ? [] : await folders(rpath)), ...next.inherited];
      const searched = runpath.length > 0 ? await folders(runpath) : inherited;
      for (const name of next.elf.needed) {
        const library = await this.#find(name, next, searched, interpreter, collected);
        if (found.has(library.to)) continue;
        found.set(library.to, library);
        const libraryElf = await this.elf(library.source);
        if (libraryElf !== undefined) pending.push({ ...library, elf: libraryElf, inherited });
      }
    }
    return [...found.values()].filter(({ to }) => !collected.has(to));
  }

  /** Undefined if the file is no ELF file. */
  elf(file: string): Promise<ElfFile | undefined> {
    const known = this.#elves.get(file);
    if (known !== undefined) return known;
    const read = readElf(file);
    this.#elves.set(file, read);
    return read;
  }

  async #find(
    name: string,
    wanting: Wanting,
    folders: readonly SearchFolder[],
    interpreter: string | undefined,
    collected: Collected,
  ): Promise<PlacedFile> {
    const { elf, source: wantedBy } = wanting;
    if (name.includes('/')) {
      const places = await this.#folders([name], wanting);
      for (const place of places) {
        const found = await this.#at(place, elf, collected);
        if (found !== undefined) return found;
      }
      throw new MissingLibraryError(name, wantedBy, places.length === 0 ? [name] : places.map(({ to }) => to));
    }
    for (const folder of folders) {
      const found = await this.#at(inFolder(folder, name), elf, collected);
      if (found !== undefined) return found;
    }
    const standard = new Set(standardFolders);
    // Debian's loaders also search the folders of their architecture (/lib/x86_64-linux-gnu), where libc is.
    const home = await this.#home(elf);
    if (home !== undefined) {
      standard.add(home);
      standard.add(home.startsWith('/usr/') ? home.slice('/usr'.length) : `/usr${home}`);
    }
    for (const folder of standard) {
      const source = collected.get(path.posix.join(folder, name));
      if (source !== undefined && (await this.#fits(source, elf))) return { to: path.posix.join(folder, name), source };
    }
    const file = await this.#fromCache(name, elf);
    if (file !== undefined) {
      // The image has no /etc/ld.so.conf, so the library goes into a folder that the loader searches anyway.
      const to = standard.has(path.dirname(file)) ? file : path.join(home ?? '/usr/lib', name);
      return { to, source: file };
    }
    for (const folder of standard) {
      const candidate = path.join(folder, name);
      if (await this.#fits(candidate, elf)) return { to: candidate, source: candidate };
    }
    // musl's libc is its loader: libc.musl-x86_64.so.1 is a name for the interpreter itself.
    if (interpreter !== undefined && name.startsWith('libc.musl-')) {
      return { to: path.join(path.dirname(interpreter), name), source: interpreter };
    }
    // The loader finds no such file, but what was loaded before by its path (dlopen(3)) has the name, as a JVM's libraries do.
    for (const [to, source] of collected) {
      if (path.posix.basename(to) === name && (await this.#fits(source, elf))) return { to, source };
    }
    throw new MissingLibraryError(name, wantedBy, [
      ...folders.map(({ to, source }) => (to === source ? to : `${to} (here ${source})`)),
      "the loader's cache",
      ...standard,
      'the collected files',
    ]);
  }

  /** What is collected for a place, or the file of this machine that would go there; undefined if there is no library. */
  async #at({ to, source }: SearchFolder, elf: ElfFile, collected: Collected): Promise<PlacedFile | undefined> {
    const inImage = collected.get(to);
    if (inImage !== undefined) return (await this.#fits(inImage, elf)) ? { to, source: inImage } : undefined;
    return (await this.#fits(source, elf)) ? { to, source } : undefined;
  }

  async #folders(texts: readonly string[], of: Wanting): Promise<SearchFolder[]> {
    if (texts.length === 0) return [];
    const home = await this.#home(of.elf);
    const libFolders = [...(home === undefined ? [] : [home.replace(/^\/(?:usr\/)?/, '')]), 'lib64', 'lib'];
    return texts.flatMap((text) => expandTokens(text, of, of.elf, libFolders));
  }

  /** The folder of libc for the file's machine. */
  async #home(elf: ElfFile): Promise<string | undefined> {
    const libc = await this.#fromCache('libc.so.6', elf);
    return libc === undefined ? undefined : path.dirname(libc);
  }

  async #fromCache(name: string, elf: ElfFile): Promise<string | undefined> {
    this.#cache ??= readLoaderCache();
    for (const file of (await this.#cache).get(name) ?? []) if (await this.#fits(file, elf)) return file;
    return undefined;
  }

  /** Whether there is an ELF file for the same machine. */
  async #fits(file: string, { machine }: ElfFile): Promise<boolean> {
    try {
      if (!(await stat(file)).isFile()) return false;
    } catch {
      return false;
    }
    return (await this.elf(file))?.machine === machine;
  }
}

function inFolder({ to, source }: SearchFolder, name: string): SearchFolder {
  return { to: path.posix.join(to, name), source: path.join(source, name) };
}
