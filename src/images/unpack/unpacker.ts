// Puts the entries of layers into a root directory, lowest layer first. OCI image spec, "Image Layer Filesystem
// Changeset"; where that says nothing, as umoci and containerd do. Everything goes through RootDirectory: nothing is written,
// linked, changed or read outside of the root, whatever the entries say.
//
// The calls are synchronous: each takes microseconds, and callers let the event loop run between entries (time-slice.ts).
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { systemErrorCode } from '../../base/errors.ts';
import type { ImageLimits } from '../limits.ts';
import type { FileOwners } from '../../base/file-owners.ts';
import type { TarEntry, TarSink } from '../tar/entry.ts';
import {
  finishDirectories,
  impliedDirectory,
  linkOrCopy,
  metadataOf,
  modeMask,
  ownerOf,
  type DirectoryMetadata,
} from './metadata.ts';
import {
  bytesOf,
  checkName,
  components,
  depthLimit,
  entryError,
  insidePath,
  joined,
  namesLimit,
  RootDirectory,
  tooDeep,
  tooManyNames,
  type Directory,
} from './root-directory.ts';
import { UnpackQuota } from './quota.ts';
import { isWhiteout, Removal, Whiteouts } from './whiteouts.ts';

const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** A file beside the root that keeps an entry's content; the root has a hard link to it. */
export interface SharedFile {
  readonly file: string;
  /** Whether it has its content, mode, owner and time already. */
  readonly filled: boolean;
}

/** The file whose content comes next. */
interface OpenFile {
  readonly fd: number;
  readonly entry: TarEntry;
}

/** Unpacks one image: receives the entries of layer after layer. */
export class Unpacker implements TarSink, Disposable {
  /** What has been unpacked. */
  readonly tally: UnpackQuota;
  readonly #root: RootDirectory;
  readonly #removal: Removal;
  readonly #whiteouts: Whiteouts;
  readonly #owners: FileOwners;
  readonly #directories = new Map<string, DirectoryMetadata>();
  #file: OpenFile | undefined;

  /**
   * @param root - an empty folder.
   * @param aside - a folder beside it, for what later layers remove.
   */
  constructor(root: string, aside: string, owners: FileOwners, limits: ImageLimits) {
    this.tally = new UnpackQuota(limits);
    this.#root = new RootDirectory(root);
    this.#removal = new Removal(this.#root, aside);
    this.#whiteouts = new Whiteouts(this.#root, this.#removal);
    this.#owners = owners;
    this.#directories.set('', impliedDirectory);
  }

  /** Begins the next layer up. */
  beginLayer(): void {
    this.#whiteouts.beginLayer();
  }

  entry(entry: TarEntry, shared?: SharedFile): void {
    this.tally.entry(entry);
    const names = components(entry.name);
    if (names.includes('..')) throw entryError(entry.name, "its name has '..' in it");
    const name = names.pop();
    if (name === undefined) {
      if (entry.kind !== 'directory') throw entryError(entry.name, 'the root can only be a folder');
      this.#directories.set('', metadataOf(entry));
      return;
    }
    checkName(entry.name, name);
    if (names.length > namesLimit) throw tooManyNames(entry.name);
    const folder = names.join('/');
    if (isWhiteout(name)) {
      this.#whiteouts.apply(entry, folder, name);
      return;
    }
    const parent = this.#parent(folder);
    const path = joined(parent, name);
    if (path.length > depthLimit) throw tooDeep(entry.name);
    this.tally.place(path);
    switch (entry.kind) {
      case 'file':
        this.#makeFile(entry, folder, name, shared);
        break;
      case 'directory':
        this.#makeDirectory(entry, folder, name, path);
        break;
      case 'symbolicLink':
        if (entry.link === '') throw entryError(entry.name, 'it is a symbolic link to nothing');
        this.#place(folder, name, (target) => {
          symlinkSync(bytesOf(entry.link), target);
          const owner = ownerOf(this.#owners, entry);
          if (owner !== undefined) lchownSync(target, owner.uid, owner.gid);
          lutimesSync(target, entry.mtime, entry.mtime);
        });
        break;
      case 'hardLink':
        this.#link(entry, folder, name, path);
        break;
      case 'characterDevice':
      case 'blockDevice':
      case 'fifo':
        this.tally.devices += 1;
        this.#removal.remove(folder, name);
        return;
    }
    this.#whiteouts.touch(path);
  }

  data(piece: Buffer, position: number): void {
    const file = this.#file;
    if (file === undefined) return;
    for (let done = 0; done < piece.length;) {
      done += writeSync(file.fd, piece, done, piece.length - done, position + done);
    }
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    const { fd, entry } = file;
    try {
      if (entry.segments !== undefined) ftruncateSync(fd, entry.size);
      const owner = ownerOf(this.#owners, entry);
      if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
      fchmodSync(fd, entry.mode & modeMask);
      futimesSync(fd, entry.mtime, entry.mtime);
    } finally {
      closeSync(fd);
    }
  }

  /** Gives the directories their metadata, after all layers. */
  async finish(): Promise<void> {
    await finishDirectories(this.#root, this.#directories, this.#owners);
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file.fd);
    this.#file = undefined;
    this.#root[Symbol.dispose]();
  }

  #parent(folder: string): Directory {
    const directory = this.#root.directory(folder, (made) => {
      this.tally.implied(made);
      this.#directories.set(made, impliedDirectory);
      this.#whiteouts.touch(made);
    });
    if (directory === undefined) throw entryError(folder, 'the folder it lies in cannot be made');
    return directory;
  }

  /** Calls `make`; if something is in its place already, removes that and calls it again. */
  #place<Result>(folder: string, name: string, make: (target: string | Buffer) => Result): Result {
    try {
      return make(insidePath(this.#parent(folder), name));
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
    }
    this.#removal.remove(folder, name);
    return make(insidePath(this.#parent(folder), name));
  }

  #makeFile(entry: TarEntry, folder: string, name: string, shared: SharedFile | undefined): void {
    if (shared === undefined) {
      this.#file = { entry, fd: this.#place(folder, name, (target) => openSync(target, createFlags, 0o600)) };
      return;
    }
    if (!shared.filled) this.#file = { entry, fd: openSync(shared.file, createFlags, 0o600) };
    this.#place(folder, name, (target) => {
      linkOrCopy(shared.file, target, this.#owners);
    });
  }

  #makeDirectory(entry: TarEntry, folder: string, name: string, path: string): void {
    const target = insidePath(this.#parent(folder), name);
    try {
      mkdirSync(target, 0o700);
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
      // A directory over a directory keeps what is in it; a link or a file is replaced.
      if (!lstatSync(target).isDirectory()) {
        this.#removal.remove(folder, name);
        mkdirSync(insidePath(this.#parent(folder), name), 0o700);
      }
    }
    this.#directories.set(path, metadataOf(entry));
  }

  #link(entry: TarEntry, folder: string, name: string, path: string): void {
    const names = components(entry.link);
    if (names.includes('..')) throw entryError(entry.name, "it is a hard link to a name with '..' in it");
    const targetName = names.pop();
    if (names.length > namesLimit) throw tooManyNames(entry.name);
    const targetFolder = names.join('/');
    const missing = () => entryError(entry.name, 'it is a hard link to something that is not there');
    const source = () => {
      const directory = targetName === undefined ? undefined : this.#root.directory(targetFolder);
      if (directory === undefined || targetName === undefined || targetName.length > 255) throw missing();
      return { path: joined(directory, targetName), target: insidePath(directory, targetName) };
    };
    const found = source();
    if (found.path === path) return;
    try {
      if (lstatSync(found.target).isDirectory()) throw entryError(entry.name, 'it is a hard link to a folder');
      this.#place(folder, name, (target) => {
        // Looked up again, as what was removed to make place may have been on the way.
        linkOrCopy(source().target, target, this.#owners, (size) => {
          this.tally.content(size);
        });
      });
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') throw missing();
      throw error;
    }
  }
}
