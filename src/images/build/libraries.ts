// Finds the shared libraries that programs of this machine need, as its loader does (ld.so(8)), and places for them where the
// loader finds them in an image, without a cache.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { readElf, type ElfFile } from './elf.ts';

/** A library's place in the image, and the file of this machine that goes there. */
export interface Library {
  readonly to: string;
  readonly source: string;
}

/** A library that is needed and nowhere to be found. */
export class MissingLibraryError extends Error {
  override readonly name = 'MissingLibraryError';
}

/** The folders that glibc's and musl's loaders search. */
const standardFolders = ['/lib', '/usr/lib', '/lib64', '/usr/lib64', '/lib32', '/usr/lib32', '/usr/local/lib'];

/** Finds libraries, and reads each only once: the files of an image need much the same. */
export class LibraryFinder {
  readonly #elves = new Map<string, Promise<ElfFile | undefined>>();
  #cache: Promise<ReadonlyMap<string, readonly string[]>> | undefined;

  /** The loader of a program and every library that it or they need. `file` is the program on this machine. */
  async librariesOf(file: string): Promise<Library[]> {
    const elf = await this.elf(file);
    if (elf === undefined) return [];
    const found = new Map<string, Library>();
    const add = (library: Library) => {
      if (found.has(library.to)) return false;
      found.set(library.to, library);
      return true;
    };
    if (elf.interpreter !== undefined) {
      // The file may be from anybody, and name any file of this machine: only a loader may get into the image.
      if (!(await this.#fits(elf.interpreter, elf))) throw missing(elf.interpreter, file);
      add({ to: elf.interpreter, source: elf.interpreter });
    }
    const pending: { file: string; elf: ElfFile; rpath: readonly string[] }[] = [{ file, elf, rpath: [] }];
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      // An object's RPATH counts for what it loads too, unless it has a RUNPATH, which counts for itself only.
      const own = next.elf.runpath.length > 0 ? [] : expand(next.elf.rpath, next.file);
      const rpath = [...own, ...next.rpath];
      for (const name of next.elf.needed) {
        const library = await this.#find(name, next.file, next.elf, rpath, elf.interpreter);
        if (!add(library)) continue;
        const libraryElf = await this.elf(library.source);
        if (libraryElf !== undefined) pending.push({ file: library.source, elf: libraryElf, rpath });
      }
    }
    return [...found.values()];
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
    wantedBy: string,
    elf: ElfFile,
    rpath: readonly string[],
    interpreter: string | undefined,
  ): Promise<Library> {
    if (name.includes('/')) {
      if (await this.#fits(name, elf)) return { to: name, source: name };
      throw missing(name, wantedBy);
    }
    for (const folder of [...rpath, ...expand(elf.runpath, wantedBy)]) {
      const file = path.join(folder, name);
      if (await this.#fits(file, elf)) return { to: file, source: file };
    }
    const standard = new Set(standardFolders);
    // Debian's loaders also search the folders of their architecture (/lib/x86_64-linux-gnu), where libc is.
    const cached = await this.#fromCache('libc.so.6', elf);
    const home = cached === undefined ? undefined : path.dirname(cached);
    if (home !== undefined) {
      standard.add(home);
      standard.add(home.startsWith('/usr/') ? home.slice('/usr'.length) : `/usr${home}`);
    }
    const file = await this.#fromCache(name, elf);
    if (file !== undefined) {
      // The image has no /etc/ld.so.conf, so the library goes into a folder that the loader searches anyway.
      return { to: standard.has(path.dirname(file)) ? file : path.join(home ?? '/usr/lib', name), source: file };
    }
    for (const folder of standard) {
      const candidate = path.join(folder, name);
      if (await this.#fits(candidate, elf)) return { to: candidate, source: candidate };
    }
    // musl's libc is its loader: libc.musl-x86_64.so.1 is a name for the interpreter itself.
    if (interpreter !== undefined && name.startsWith('libc.musl-')) {
      return { to: path.join(path.dirname(interpreter), name), source: interpreter };
    }
    throw missing(name, wantedBy);
  }

  async #fromCache(name: string, elf: ElfFile): Promise<string | undefined> {
    this.#cache ??= readCache();
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

function missing(name: string, wantedBy: string): MissingLibraryError {
  return new MissingLibraryError(`${wantedBy} needs the shared library ${name}, which is nowhere on this machine`);
}

function expand(folders: readonly string[], file: string): string[] {
  const origin = path.dirname(file);
  return folders
    .map((folder) => folder.replace(/\$(?:ORIGIN\b|\{ORIGIN\})/g, origin))
    .filter((folder) => folder.startsWith('/') && !folder.includes('$'))
    .map((folder) => path.normalize(folder));
}

/** The loader's cache, by `ldconfig -p`; empty where there is no such program (musl). */
async function readCache(): Promise<ReadonlyMap<string, readonly string[]>> {
  // Loaded here, as execa is a fifth of the host's start.
  const { execa } = await import('execa');
  const files = new Map<string, string[]>();
  for (const program of ['/sbin/ldconfig', '/usr/sbin/ldconfig']) {
    const { stdout, failed } = await execa(program, ['-p'], {
      reject: false,
      stdin: 'ignore',
      stderr: 'ignore',
      env: { LC_ALL: 'C' },
    });
    if (failed) continue;
    for (const line of stdout.split('\n')) {
      const match = /^\t(\S+) \(.*\) => (\/.*)$/.exec(line);
      if (match?.[1] === undefined || match[2] === undefined) continue;
      files.set(match[1], [...(files.get(match[1]) ?? []), match[2]]);
    }
    return files;
  }
  return files;
}
