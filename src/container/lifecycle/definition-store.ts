// Definitions on disk, so that a process killed at any instant leaves the old one or the new one:
//
//   <folder>/<id>/<generation>.json     the definition; the highest generation counts
//                 files/<name>          contents of files that are to be copied at the next start
//                 layer/{upper,work}    what the container wrote to its root, where that is kept
//                 running.<host>        marks that a host (by the name of its folder) runs the container
//
// A generation is entered by link(2), which fails where another process has entered it before: commits of several hosts
// on one store exclude each other without a lock. What is half made has a name that begins with a dot and has its maker
// in it, and is removed once that process is gone. What is destroyed is renamed, and removed by whoever comes to it.
import { chmod, chown, link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ulid } from 'ulid';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { logUnremoved, type Unremoved } from '../../base/remove-tree.ts';
import { isContainerId, type ContainerId } from '../id.ts';
import type { FileOwners } from '../oci/id-mapping.ts';
import type { CopiedFile } from './copy.ts';
import { parseDefinition, type Definition, type PendingFile } from './definition.ts';
import { namesIn, syncFolder } from './folder.ts';
import { stampLives, stampedName } from './process-stamp.ts';

/** Destroyed containers are named so until their files are removed. */
const gonePrefix = '.gone-';

/** What a store needs of the machine. */
export interface StoreDependencies {
  readonly folder: string;
  readonly owners: FileOwners;
  /** Removes a container's folder, in whose layer there may be files of containers' own ids. */
  readonly removeTree: (folder: string) => Promise<Unremoved | undefined>;
  readonly logger: Logger;
}

/** A definition that is written, and not yet entered. */
export interface Staged {
  /** The container's folder. */
  readonly folder: string;
  /** @throws BabelhostError `conflict`, `notFound` */
  enter(): Promise<void>;
  /** Removes what was written. */
  abandon(): Promise<void>;
}

export class DefinitionStore {
  readonly #dependencies: StoreDependencies;

  constructor(dependencies: StoreDependencies) {
    this.#dependencies = dependencies;
  }

  folderOf(id: ContainerId): string {
    return path.join(this.#dependencies.folder, id);
  }

  /**
   * Removes what processes left half made that have died, and destroyed containers of which something is left.
   * @returns what cannot be removed: the next sweep tries again
   */
  async sweep(): Promise<Unremoved[]> {
    const left: Unremoved[] = [];
    for (const name of await namesIn(this.#dependencies.folder)) {
      const folder = path.join(this.#dependencies.folder, name);
      try {
        const swept = await this.#sweepable(name);
        if (swept !== undefined) left.push(...(await this.#removeTree(swept)));
      } catch (error) {
        const unremoved = { path: folder, reasons: [messageOf(error)] };
        logUnremoved(this.#dependencies.logger, unremoved);
        left.push(unremoved);
      }
    }
    return left;
  }

  /** The path of an entry of the folder that is nobody's. Of one that is a container's, removes what is half made in it. */
  async #sweepable(name: string): Promise<string | undefined> {
    const folder = path.join(this.#dependencies.folder, name);
    // Whoever destroys it may be at it: who comes second leaves it to the first (native/remove.c).
    if (name.startsWith(gonePrefix)) return folder;
    if (name.startsWith('.')) return (await stampLives(name)) ? undefined : folder;
    const staged = (await namesIn(folder)).filter((each) => each.startsWith('.'));
    const dead = [];
    for (const each of staged) if (!(await stampLives(each))) dead.push(each);
    const abandoned = dead.length > 0 && dead.length === staged.length;
    if (abandoned && (await this.#newest(folder)) === undefined) return await this.#takeAway(folder);
    for (const each of dead) await rm(path.join(folder, each), { force: true });
    return undefined;
  }

  /** All ids, oldest first. */
  async ids(): Promise<ContainerId[]> {
    return (await namesIn(this.#dependencies.folder)).filter(isContainerId).sort();
  }

  /**
   * A definition as it is now; undefined if there is none.
   * @throws BabelhostError `storageDirty` if it cannot be understood
   */
  async find(id: ContainerId): Promise<Definition | undefined> {
    const folder = this.folderOf(id);
    for (;;) {
      const generation = await this.#newest(folder);
      if (generation === undefined) return undefined;
      const file = path.join(folder, `${generation}.json`);
      try {
        return parseDefinition(await readFile(file));
      } catch (error) {
        // Another host has entered the next one meanwhile and removed this, or the whole container.
        if (systemErrorCode(error) === 'ENOENT') continue;
        throw new BabelhostError(
          'storageDirty',
          `The definition of the container ${id} at ${file} cannot be read (${messageOf(error)}): remove its folder.`,
          { path: file, id },
          { cause: error },
        );
      }
    }
  }

  /** Reads what is to be copied into a container at its start. */
  async pendingFiles(definition: Definition): Promise<CopiedFile[]> {
    const folder = path.join(this.folderOf(definition.id), 'files');
    return await Promise.all(
      definition.pending.map(async ({ path: at, mode, name }) => ({
        path: at,
        mode,
        content: await readFile(path.join(folder, name)),
      })),
    );
  }

  /**
   * Writes the next generation of a definition, to be entered when everything else that belongs to it was done.
   * @param added files to be copied at the next start, after those that `definition` has already
   */
  async stage(definition: Definition, added: readonly CopiedFile[]): Promise<Staged> {
    const folder = this.folderOf(definition.id);
    const isNew = definition.generation === 1;
    const staged = path.join(folder, `.staged-${await stampedName()}`);
    const pending: PendingFile[] = [];
    const written: string[] = [];
    const abandon = async () => {
      if (isNew) {
        await this.remove(definition.id);
        return;
      }
      for (const file of [staged, ...written]) await rm(file, { force: true });
    };
    try {
      if (isNew) await this.#makeFolder(definition, path.basename(staged));
      for (const { path: at, mode, content } of added) {
        const name = ulid();
        const file = path.join(folder, 'files', name);
        written.push(file);
        await writeFile(file, content, { flag: 'wx', mode: 0o600, flush: true });
        pending.push({ path: at, mode, size: content.length, name });
      }
      const next: Definition = { ...definition, pending: [...definition.pending, ...pending] };
      await writeFile(staged, `${JSON.stringify(next, undefined, 2)}\n`, { mode: 0o600, flush: true });
      const enter = async () => {
        await this.#enter(next, folder, staged);
      };
      return { folder, enter, abandon };
    } catch (error) {
      await abandon();
      throw storageFault(error, folder, definition.id);
    }
  }

  /** Takes a container away, in one instant; its files go after that. What cannot go is told in the log, and swept later. */
  async remove(id: ContainerId): Promise<void> {
    const gone = await this.#takeAway(this.folderOf(id));
    if (gone !== undefined) await this.#removeTree(gone);
  }

  /** Renames a container's folder, so that it is none any more. Returns its path then; undefined if it was gone. */
  async #takeAway(folder: string): Promise<string | undefined> {
    const gone = path.join(this.#dependencies.folder, `${gonePrefix}${await stampedName()}`);
    try {
      await rename(folder, gone);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
    await syncFolder(this.#dependencies.folder);
    return gone;
  }

  /** A new container's folder has a staged file from its first instant: that tells whose it is. */
  async #makeFolder(definition: Definition, stagedName: string): Promise<void> {
    const { folder, owners } = this.#dependencies;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const making = path.join(folder, `.new-${await stampedName()}`);
    await mkdir(path.join(making, 'files'), { recursive: true, mode: 0o700 });
    await writeFile(path.join(making, stagedName), '', { mode: 0o600 });
    if (definition.writable) {
      const upper = path.join(making, 'layer', 'upper');
      await mkdir(upper, { recursive: true, mode: 0o755 });
      await mkdir(path.join(making, 'layer', 'work'), { mode: 0o700 });
      // Apart from mkdir, whose mode the umask would change.
      await chmod(upper, 0o755);
      if (owners.kind === 'mapped') await chown(upper, owners.base, owners.base);
    }
    await rename(making, this.folderOf(definition.id));
  }

  async #enter(definition: Definition, folder: string, staged: string): Promise<void> {
    const { id, generation } = definition;
    try {
      await link(staged, path.join(folder, `${generation}.json`));
    } catch (error) {
      if (systemErrorCode(error) === 'EEXIST') throw committedMeanwhile(id);
      throw storageFault(error, folder, id);
    }
    await syncFolder(folder);
    // From here on it is entered. What it replaces is removed now, or by the next one that is entered.
    const needed = new Set(definition.pending.map(({ name }) => name));
    const superseded = (await namesIn(folder)).filter((name) => Number(/^(\d+)\.json$/.exec(name)?.[1]) < generation);
    const unused = (await namesIn(path.join(folder, 'files'))).filter((name) => !needed.has(name));
    const removals = [staged, ...superseded.map((name) => path.join(folder, name))];
    for (const name of unused) removals.push(path.join(folder, 'files', name));
    for (const result of await Promise.allSettled(removals.map((file) => rm(file, { force: true })))) {
      if (result.status === 'rejected') this.#dependencies.logger.warn({ container: id }, messageOf(result.reason));
    }
  }

  async #newest(folder: string): Promise<number | undefined> {
    let newest: number | undefined;
    for (const name of await namesIn(folder)) {
      const generation = Number(/^([1-9]\d{0,14})\.json$/.exec(name)?.[1]);
      if (generation > (newest ?? 0)) newest = generation;
    }
    return newest;
  }

  async #removeTree(folder: string): Promise<Unremoved[]> {
    const unremoved = await this.#dependencies.removeTree(folder);
    if (unremoved === undefined) return [];
    logUnremoved(this.#dependencies.logger, unremoved);
    return [unremoved];
  }
}

export function committedMeanwhile(id: ContainerId): BabelhostError {
  return new BabelhostError(
    'conflict',
    `Another commit has changed the container ${id} since this handle was taken: take a new handle and see what it is now.`,
    { id },
  );
}

function storageFault(error: unknown, folder: string, id: ContainerId): unknown {
  if (error instanceof BabelhostError) return error;
  switch (systemErrorCode(error)) {
    case 'ENOENT':
      return new BabelhostError('notFound', `The container ${id} was destroyed meanwhile.`, { id });
    case 'ENOSPC':
    case 'EDQUOT':
      return new BabelhostError(
        'storageFull',
        `There is no room left for the definition of a container at ${folder}: free some space.`,
        { path: folder },
        { cause: error },
      );
    default:
      return error;
  }
}
