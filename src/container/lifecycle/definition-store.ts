// Definitions on disk, so that a process killed at any instant leaves the old one or the new one:
//
//   <folder>/<id>/<generation>.json     the definition; the highest generation counts
//                 files/<name>          contents of files to be copied at the next start
//                 layer/{upper,work}    what the container wrote to its root, if that is kept
//                 running.<host>        marks that a host (by the name of its folder) runs the container
//
// A generation is entered by link(2), which fails if another process has entered it before: commits of several hosts on
// one store exclude each other without a lock. Unfinished files and folders have names that begin with a dot and tell
// their process; they are removed once it has ended. A destroyed container is renamed first, then removed.
import { chmod, chown, link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ulid } from 'ulid';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { syncFolder } from '../../base/sync-folder.ts';
import { logUnremoved, removeTree, unremovedOf, type Unremoved } from '../../base/remove-tree.ts';
import { isContainerId, type ContainerId } from '../id.ts';
import type { ContainerRuntime } from '../runtime.ts';
import type { CopiedFile } from './copy.ts';
import { parseDefinition, type Definition, type PendingFile } from './definition.ts';
import { namesIn, stampLives, stampedName } from './marks.ts';

/** Of the folders of destroyed containers, until they are removed. */
const destroyedPrefix = '.gone-';

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
  readonly #folder: string;
  readonly #runtime: ContainerRuntime;
  readonly #logger: Logger;

  constructor(folder: string, runtime: ContainerRuntime, logger: Logger) {
    this.#folder = folder;
    this.#runtime = runtime;
    this.#logger = logger;
  }

  folderOf(id: ContainerId): string {
    return path.join(this.#folder, id);
  }

  /**
   * Removes what dead processes have left unfinished, and what is left of destroyed containers.
   * @returns what cannot be removed, which is logged too: the next sweep tries again
   */
  async sweep(): Promise<Unremoved[]> {
    const left: Unremoved[] = [];
    for (const name of await namesIn(this.#folder)) {
      const folder = path.join(this.#folder, name);
      const unremoved = await this.#sweepEntry(name, folder).catch((error: unknown) => unremovedFor(folder, error));
      if (unremoved === undefined) continue;
      logUnremoved(this.#logger, unremoved);
      left.push(unremoved);
    }
    return left;
  }

  async #sweepEntry(name: string, folder: string): Promise<Unremoved | undefined> {
    // Another process may be removing it: the second to come leaves it to the first (native/remove.c).
    if (name.startsWith(destroyedPrefix)) return await this.#removeTree(folder);
    if (name.startsWith('.')) return (await stampLives(name)) ? undefined : await this.#removeTree(folder);
    const staged = (await namesIn(folder)).filter((each) => each.startsWith('.'));
    const dead = [];
    for (const each of staged) if (!(await stampLives(each))) dead.push(each);
    const abandoned = dead.length > 0 && dead.length === staged.length;
    if (abandoned && (await newestGeneration(folder)) === 0) return await this.#destroy(folder);
    for (const each of dead) await rm(path.join(folder, each), { force: true });
    return undefined;
  }

  /** All ids, oldest first. */
  async ids(): Promise<ContainerId[]> {
    return (await namesIn(this.#folder)).filter(isContainerId).sort();
  }

  /**
   * The current definition; undefined if there is none.
   * @throws BabelhostError `storageDirty` if it cannot be understood
   */
  async find(id: ContainerId): Promise<Definition | undefined> {
    const folder = this.folderOf(id);
    for (;;) {
      const generation = await newestGeneration(folder);
      if (generation === 0) return undefined;
      const file = path.join(folder, `${generation}.json`);
      try {
        return parseDefinition(await readFile(file));
      } catch (error) {
        // Another host has entered the next one and removed this one, or the container.
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

  /** Reads the files to be copied into a container at its start. */
  async pendingFiles({ id, pending }: Definition): Promise<CopiedFile[]> {
    const folder = path.join(this.folderOf(id), 'files');
    const read = async ({ path: at, mode, name }: PendingFile) => {
      return { path: at, mode, content: await readFile(path.join(folder, name)) };
    };
    return await Promise.all(pending.map(read));
  }

  /**
   * Writes the next generation of a definition, to be entered when everything else of its commit is done.
   * @param added files to be copied at the next start, after those that `definition` already has
   */
  async stage(definition: Definition, added: readonly CopiedFile[]): Promise<Staged> {
    const folder = this.folderOf(definition.id);
    const isNew = definition.generation === 1;
    const staged = path.join(folder, `.staged-${await stampedName()}`);
    const pending: PendingFile[] = [];
    const written: string[] = [];
    const abandon = async () => {
      if (isNew) await this.remove(definition.id);
      else for (const file of [staged, ...written]) await rm(file, { force: true });
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
      return { folder, enter: () => this.#enter(next, folder, staged), abandon };
    } catch (error) {
      await abandon();
      throw storageFault(error, folder, definition.id);
    }
  }

  /** Removes a container. Files that cannot be removed are logged, and swept later. */
  async remove(id: ContainerId): Promise<void> {
    const unremoved = await this.#destroy(this.folderOf(id));
    if (unremoved !== undefined) logUnremoved(this.#logger, unremoved);
  }

  /** Renames a container's folder, which destroys the container at one instant, and removes its files. */
  async #destroy(folder: string): Promise<Unremoved | undefined> {
    const renamed = path.join(this.#folder, `${destroyedPrefix}${await stampedName()}`);
    try {
      await rename(folder, renamed);
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
    await syncFolder(this.#folder);
    return await this.#removeTree(renamed);
  }

  /** Removes a folder; for an ordinary user in the guard's namespaces, where files of containers' ids are left. */
  async #removeTree(folder: string): Promise<Unremoved | undefined> {
    const left = await removeTree(folder);
    if (left === undefined || this.#runtime.owners.kind === 'mapped') return left;
    return await this.#runtime.execInGuard(['remove', folder]).then(
      ({ status, complaint }) => unremovedOf(folder, status, complaint),
      (error: unknown) => unremovedFor(folder, error),
    );
  }

  /** A new container's folder has a staged file from its first instant, which tells the process that makes it. */
  async #makeFolder(definition: Definition, stagedName: string): Promise<void> {
    const { owners } = this.#runtime;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const making = path.join(this.#folder, `.new-${await stampedName()}`);
    await mkdir(path.join(making, 'files'), { recursive: true, mode: 0o700 });
    await writeFile(path.join(making, stagedName), '', { mode: 0o600 });
    if (definition.writable) {
      const upper = path.join(making, 'layer', 'upper');
      await mkdir(upper, { recursive: true, mode: 0o755 });
      await mkdir(path.join(making, 'layer', 'work'), { mode: 0o700 });
      // The umask would change the mode that mkdir is given.
      await chmod(upper, 0o755);
      if (owners.kind === 'mapped') await chown(upper, owners.base, owners.base);
    }
    await rename(making, this.folderOf(definition.id));
  }

  async #enter({ id, generation, pending }: Definition, folder: string, staged: string): Promise<void> {
    try {
      await link(staged, path.join(folder, `${generation}.json`));
    } catch (error) {
      throw systemErrorCode(error) === 'EEXIST' ? committedMeanwhile(id) : storageFault(error, folder, id);
    }
    await syncFolder(folder);
    // It is entered now. Superseded files that cannot be removed here are removed by the next commit.
    const files = path.join(folder, 'files');
    const needed = new Set(pending.map(({ name }) => name));
    const superseded = (await namesIn(folder)).filter((name) => Number(/^(\d+)\.json$/.exec(name)?.[1]) < generation);
    const unused = (await namesIn(files)).filter((name) => !needed.has(name));
    const removals = [
      staged,
      ...superseded.map((name) => path.join(folder, name)),
      ...unused.map((name) => path.join(files, name)),
    ];
    for (const result of await Promise.allSettled(removals.map((file) => rm(file, { force: true })))) {
      if (result.status === 'rejected') this.#logger.warn({ container: id }, messageOf(result.reason));
    }
  }
}

function unremovedFor(folder: string, error: unknown): Unremoved {
  return { path: folder, reasons: [messageOf(error)] };
}

/** 0 if there is none. */
async function newestGeneration(folder: string): Promise<number> {
  const names = await namesIn(folder);
  return Math.max(0, ...names.map((name) => Number(/^([1-9]\d{0,14})\.json$/.exec(name)?.[1] ?? 0)));
}

export function committedMeanwhile(id: ContainerId): BabelhostError {
  return new BabelhostError(
    'conflict',
    `Another commit has changed the container ${id} since this handle was taken: take a new handle and see what it is now.`,
    { id },
  );
}

function storageFault(error: unknown, folder: string, id: ContainerId): unknown {
  const code = systemErrorCode(error);
  if (code === 'ENOENT') return new BabelhostError('notFound', `The container ${id} was destroyed meanwhile.`, { id });
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return error;
  return new BabelhostError(
    'storageFull',
    `There is no room left for the definition of a container at ${folder}: free some space.`,
    { path: folder },
    { cause: error },
  );
}
