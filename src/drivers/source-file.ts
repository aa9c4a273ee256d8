// Reading the file of a source. What is asked of Node's threads is done on another core than ours, once a thread has been
// woken there: with drivers on all cores, the four steps of a small file cost the host 0.1 ms, where the kernel has it in
// memory and hands it over in 0.02. So small files of local file systems are read at once. Others are not: a network or
// a program behind a file system may take as long as it likes, and every client would wait. Nor are local ones while they
// turn out to be slow, as on a disk that has to seek.
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { open, statfs } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError, messageOf, systemErrorCode } from '../errors.ts';
import { bytesInMemory, type FileLease } from './file-room.ts';
import { CancelledError } from './request.ts';

/** Not to wait for a writer where the path is a FIFO's. */
const flags = constants.O_RDONLY | constants.O_NONBLOCK;

/** Larger ones are left to the threads. */
const largestAtOnce = 1024 * 1024;

/** File systems that lie on disks of this machine or in its memory: their magic numbers (statfs(2), linux/magic.h). */
const localTypes: ReadonlySet<number> = new Set([
  ...[0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x2fc12fc1, 0xca451a4e], // ext4, XFS, Btrfs, F2FS, ZFS, bcachefs
  ...[0x01021994, 0x858458f6, 0x794c7630, 0x73717368, 0xe0f5e1e2], // tmpfs, ramfs, overlay, SquashFS, EROFS
]);

/** For how long a folder is taken to lie where it did, in milliseconds: something may be mounted over it. */
const knownMs = 5000;

/** So many folders are remembered. */
const mostFolders = 4096;

/** Reads at once may take so long, in milliseconds, as a mean over about so many; else the threads read for a while. */
const slowMs = 1;
const inMean = 16;
const patienceMs = 1000;

export class SourceFiles {
  readonly #now: () => number;
  #local = new Map<string, Promise<boolean>>();
  #forgetAt = 0;
  #meanMs = 0;
  #patientUntil = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Whether small local files are read at once now. */
  get atOnce(): boolean {
    return this.#now() >= this.#patientUntil;
  }

  /**
   * Reads a file.
   * @param uri what an error calls it
   * @param checkSize throws where the file is larger than it may be
   * @param lease the room that the file is to have
   * @throws BabelhostError `notFound` where it cannot be read, or is no file; what `checkSize` and `lease` throw
   */
  async read(file: string, uri: string, checkSize: (bytes: number) => void, lease: FileLease): Promise<Buffer> {
    const check = (stats: Stats): void => {
      if (!stats.isFile()) throw new BabelhostError('notFound', `${file} is not a file.`, { uri });
      checkSize(stats.size);
    };
    try {
      const local = await this.#isLocal(path.dirname(file));
      const now = local && this.atOnce ? this.#readNow(file, check, lease) : undefined;
      return now ?? (await readByThreads(file, check, lease));
    } catch (error) {
      if (error instanceof BabelhostError || error instanceof CancelledError) throw error;
      const code = systemErrorCode(error);
      throw new BabelhostError(
        'notFound',
        `${file} cannot be read: ${messageOf(error)}.`,
        { uri, code },
        { cause: error },
      );
    }
  }

  #isLocal(folder: string): Promise<boolean> {
    const now = this.#now();
    if (now >= this.#forgetAt || this.#local.size >= mostFolders) {
      this.#local = new Map();
      this.#forgetAt = now + knownMs;
    }
    let local = this.#local.get(folder);
    if (local === undefined) {
      local = isLocal(folder);
      this.#local.set(folder, local);
    }
    return local;
  }

  /** @returns undefined where it is for the threads to read: a link may lead anywhere, and a large file takes long */
  #readNow(file: string, check: (stats: Stats) => void, lease: FileLease): Buffer | undefined {
    const startedAt = this.#now();
    let descriptor: number;
    try {
      descriptor = openSync(file, flags | constants.O_NOFOLLOW);
    } catch (error) {
      if (systemErrorCode(error) === 'ELOOP') return undefined;
      throw error;
    }
    try {
      const stats = fstatSync(descriptor);
      check(stats);
      if (stats.size > largestAtOnce || !lease.tryTake(bytesInMemory(stats.size))) return undefined;
      const bytes = Buffer.allocUnsafe(stats.size);
      let filled = 0;
      while (filled < bytes.length) {
        const count = readSync(descriptor, bytes, filled, bytes.length - filled, filled);
        if (count === 0) break;
        filled += count;
      }
      return bytes.subarray(0, filled);
    } finally {
      closeSync(descriptor);
      this.#took(this.#now() - startedAt);
    }
  }

  #took(milliseconds: number): void {
    this.#meanMs += (milliseconds - this.#meanMs) / inMean;
    if (this.#meanMs <= slowMs) return;
    this.#meanMs = 0;
    this.#patientUntil = this.#now() + patienceMs;
  }
}

/** Whether a folder's files lie on this machine. False also where that is not to be seen. */
export async function isLocal(folder: string): Promise<boolean> {
  try {
    return localTypes.has((await statfs(folder)).type);
  } catch {
    return false;
  }
}

async function readByThreads(file: string, check: (stats: Stats) => void, lease: FileLease): Promise<Buffer> {
  for (;;) {
    const found = await readWhereThereIsRoom(file, check, lease);
    if (typeof found !== 'number') return found;
    // Nothing is open while it waits: as many requests may wait as there are descriptors.
    await lease.take(bytesInMemory(found));
  }
}

/** @returns its size where there is no room for it */
async function readWhereThereIsRoom(
  file: string,
  check: (stats: Stats) => void,
  lease: FileLease,
): Promise<Buffer | number> {
  const handle = await open(file, flags);
  try {
    const stats = await handle.stat();
    check(stats);
    if (!lease.tryTake(bytesInMemory(stats.size))) return stats.size;
    const bytes = Buffer.allocUnsafe(stats.size);
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } finally {
    await handle.close();
  }
}
