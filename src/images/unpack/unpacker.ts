// Puts the entries of layers into a root directory, lowest layer first. OCI image spec, "Image Layer Filesystem
// Changeset"; where that is silent, what umoci and containerd do. Everything goes through RootDirectory: nothing is
// written, linked, changed or read outside of the root, whatever the entries say.
//
// The calls are synchronous on purpose: each takes microseconds, and between two chunks of an archive the event loop runs.
import {
  closeSync,
  constants,
  copyFileSync,
  fchmodSync,
  fchownSync,
  ftruncateSync,
  futimesSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { systemErrorCode } from '../../errors.ts';
import { overLimit, type ImageLimits } from '../limits.ts';
import { hostId, type OwnerMap } from '../owners.ts';
import type { TarEntry, TarSink } from '../tar/entry.ts';
import {
  bytesOf,
  components,
  depthLimit,
  entryError,
  insidePath,
  joined,
  RootDirectory,
  tooDeep,
  type Directory,
} from './root-directory.ts';

const createFlags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

const whiteoutPrefix = '.wh.';
const opaqueWhiteout = '.wh..wh..opq';

/**
 * Permissions and sticky bit. Set-user-id and set-group-id are dropped: nothing in a container may gain rights by
 * running a file, and on the host such files would lie around with an owner of their own.
 */
const modeMask = 0o1777;

/** What a directory's inode gets once nothing changes in it any more. */
interface DirectoryMetadata {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
}

/** A directory that entries lie in without one of its own. */
const impliedDirectory: DirectoryMetadata = { mode: 0o755, uid: 0, gid: 0, mtime: 0 };

/** What was left out, for the log. */
export interface UnpackNotes {
  /** Device nodes and FIFOs: a container gets its devices from the runtime, and needs no right to make any. */
  devices: number;
  /** Entries with extended attributes: file capabilities and labels have no effect on what we run. */
  attributes: number;
  entries: number;
  /** Bytes of all files by their length. */
  bytes: number;
}

/** A file beside the root that an entry's content is kept in; the root has a hard link of it. */
export interface SharedFile {
  readonly file: string;
  /** Whether the content, and mode, owner and time, are in it already. */
  readonly filled: boolean;
}

/** The file whose content comes next. */
interface OpenFile {
  readonly fd: number;
  readonly entry: TarEntry;
}

/** Unpacks one image: a TarSink for the entries of layer after layer. */
export class Unpacker implements TarSink, Disposable {
  readonly notes: UnpackNotes = { devices: 0, attributes: 0, entries: 0, bytes: 0 };
  readonly #root: RootDirectory;
  readonly #owners: OwnerMap;
  readonly #limits: ImageLimits;
  readonly #directories = new Map<string, DirectoryMetadata>();
  /** Paths that the current layer put there, and the folders above them; none are noted in the lowest layer. */
  #upper: Set<string> | undefined;
  #layers = 0;
  #file: OpenFile | undefined;

  constructor(root: string, owners: OwnerMap, limits: ImageLimits) {
    this.#root = new RootDirectory(root);
    this.#owners = owners;
    this.#limits = limits;
    this.#directories.set('', impliedDirectory);
  }

  /** Says that the entries which follow are those of the next layer up. */
  beginLayer(): void {
    // Whiteouts hide what lower layers have, never what their own layer has: in the lowest one they do nothing.
    this.#upper = this.#layers === 0 ? undefined : new Set();
    this.#layers += 1;
  }

  entry(entry: TarEntry, shared?: SharedFile): void {
    const { notes } = this;
    notes.entries += 1;
    if (notes.entries > this.#limits.entries) {
      throw overLimit('entries', this.#limits.entries, 'The number of entries in the image');
    }
    notes.bytes += entry.size;
    if (notes.bytes > this.#limits.unpackedBytes) {
      throw overLimit('unpackedBytes', this.#limits.unpackedBytes, 'What the image unpacks to');
    }
    if (entry.attributes.length > 0) notes.attributes += 1;

    const names = components(entry.name);
    if (names.includes('..')) throw entryError(entry.name, "its name has '..' in it");
    const name = names.pop();
    if (name === undefined) {
      if (entry.kind !== 'directory') throw entryError(entry.name, 'the root can only be a folder');
      this.#directories.set('', metadataOf(entry));
      return;
    }
    if (name.length > 255) throw entryError(entry.name, 'a part of its name has more than 255 bytes');
    const folder = names.join('/');
    if (name.startsWith(whiteoutPrefix)) {
      this.#whiteout(entry, folder, name);
      return;
    }
    const parent = this.#parent(folder);
    const path = joined(parent, name);
    if (path.length > depthLimit) throw tooDeep(entry.name);
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
          const owner = this.#owner(entry);
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
        notes.devices += 1;
        this.#remove(folder, name);
        return;
    }
    this.#touch(path);
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
      const owner = this.#owner(entry);
      if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
      fchmodSync(fd, entry.mode & modeMask);
      futimesSync(fd, entry.mtime, entry.mtime);
    } finally {
      closeSync(fd);
    }
  }

  /** Gives the directories their modes, owners and times, deepest first: a folder may not let its owner in any more. */
  finish(): void {
    this.#root.forget();
    const paths = [...this.#directories.keys()].sort().reverse();
    for (const path of paths) {
      const metadata = this.#directories.get(path);
      // Removed since, or replaced by something else that is not to be followed.
      const directory = this.#root.existing(path);
      if (metadata === undefined || directory === undefined) continue;
      const fd = openSync(`/proc/self/fd/${directory.fd}/.`, directoryFlags);
      try {
        const owner = this.#owner({ ...metadata, name: path });
        if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
        // An ordinary user can move a folder (from where it was unpacked to its place) only while it is writable.
        const kept = path === '' && this.#owners.kind === 'single' ? 0o700 : 0;
        fchmodSync(fd, (metadata.mode & modeMask) | kept);
        futimesSync(fd, metadata.mtime, metadata.mtime);
      } finally {
        closeSync(fd);
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file.fd);
    this.#file = undefined;
    this.#root[Symbol.dispose]();
  }

  #parent(folder: string): Directory {
    const directory = this.#root.directory(folder, (made) => {
      this.#directories.set(made, impliedDirectory);
      this.#touch(made);
    });
    if (directory === undefined) throw entryError(folder, 'the folder it lies in cannot be made');
    return directory;
  }

  /** Does what makes an entry; if something is there already, removes that and does it again. */
  #place<Result>(folder: string, name: string, make: (target: string | Buffer) => Result): Result {
    try {
      return make(insidePath(this.#parent(folder), name));
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
    }
    this.#remove(folder, name);
    return make(insidePath(this.#parent(folder), name));
  }

  #makeFile(entry: TarEntry, folder: string, name: string, shared: SharedFile | undefined): void {
    if (shared === undefined) {
      this.#file = { entry, fd: this.#place(folder, name, (target) => openSync(target, createFlags, 0o600)) };
      return;
    }
    if (!shared.filled) this.#file = { entry, fd: openSync(shared.file, createFlags, 0o600) };
    this.#place(folder, name, (target) => {
      this.#linkOrCopy(shared.file, target);
    });
  }

  #makeDirectory(entry: TarEntry, folder: string, name: string, path: string): void {
    const target = insidePath(this.#parent(folder), name);
    try {
      mkdirSync(target, 0o700);
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
      // A directory over a directory keeps what is in it; over a link or a file it takes the place of that.
      if (!lstatSync(target).isDirectory()) {
        this.#remove(folder, name);
        mkdirSync(insidePath(this.#parent(folder), name), 0o700);
      }
    }
    this.#directories.set(path, metadataOf(entry));
  }

  #link(entry: TarEntry, folder: string, name: string, path: string): void {
    const names = components(entry.link);
    if (names.includes('..')) throw entryError(entry.name, "it is a hard link to a name with '..' in it");
    const targetName = names.pop();
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
        // Looked up again: what was removed to make place may have lain on the way.
        this.#linkOrCopy(source().target, target);
      });
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') throw missing();
      throw error;
    }
  }

  #linkOrCopy(from: string | Buffer, to: string | Buffer): void {
    try {
      linkSync(from, to);
    } catch (error) {
      if (systemErrorCode(error) !== 'EMLINK') throw error;
      // The file system allows no more links to that file; a copy reads the same.
      this.#copy(from, to);
    }
  }

  #copy(from: string | Buffer, to: string | Buffer): void {
    copyFileSync(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    const { uid, gid, mode, mtime } = lstatSync(from);
    if (this.#owners.kind === 'mapped') lchownSync(to, uid, gid);
    const fd = openSync(to, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      fchmodSync(fd, mode & modeMask);
      futimesSync(fd, mtime, mtime);
    } finally {
      closeSync(fd);
    }
  }

  #whiteout(entry: TarEntry, folder: string, name: string): void {
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
      this.#remove(folder, name);
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
    for (const name of names) this.#removeLower(joined({ fd: -1, path }, name.toString('latin1')));
  }

  /** Removes one name in a folder, with all below it; nothing to do if it is not there. */
  #remove(folder: string, name: string): void {
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
    if (found.isDirectory()) rmSync(target, { recursive: true });
    else unlinkSync(target);
    // Directories that we have open may have been in it, or been found through it.
    if (found.isDirectory() || found.isSymbolicLink()) this.#root.forget();
  }

  /** Notes that this layer has `path`, and so the folders above it. */
  #touch(path: string): void {
    const upper = this.#upper;
    if (upper === undefined) return;
    for (let at = path; at !== '' && !upper.has(at); at = at.slice(0, Math.max(0, at.lastIndexOf('/')))) upper.add(at);
  }

  #owner(entry: {
    readonly uid: number;
    readonly gid: number;
    readonly name: string;
  }): { uid: number; gid: number } | undefined {
    const { kind } = this.#owners;
    if (kind === 'single') return undefined;
    const uid = hostId(this.#owners, entry.uid);
    const gid = hostId(this.#owners, entry.gid);
    if (uid === undefined || gid === undefined) {
      throw entryError(
        entry.name,
        `it belongs to ${entry.uid}:${entry.gid}, but the container has ids below ${this.#owners.size} only`,
      );
    }
    return { uid, gid };
  }
}

function metadataOf({ mode, uid, gid, mtime }: TarEntry): DirectoryMetadata {
  return { mode, uid, gid, mtime };
}
