// Which host runs a container: a mark in the container's folder, named by the host's own folder. That is there for as long
// as the host's guard lives, so the mark of a dead host is known for one.
import { rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError } from '../../base/errors.ts';
import { namesIn } from './folder.ts';

/** Marks a container as run by this host, so that no other host on the same store runs it too. */
export class RunningMark {
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
  }

  /**
   * @param folder the container's
   * @param hostFolder this host's own among the hosts' folders: it is there while the host's guard lives, and those of
   * dead hosts were removed when this host's guard was started
   * @throws BabelhostError `conflict` if another host runs it. Of two that try at once, both may fail, never none.
   */
  static async take(folder: string, hostFolder: string): Promise<RunningMark> {
    const own = `running.${path.basename(hostFolder)}`;
    const mark = new RunningMark(path.join(folder, own));
    await writeFile(mark.#file, '', { mode: 0o600 });
    for (const name of await namesIn(folder)) {
      if (!name.startsWith('running.') || name === own) continue;
      const other = path.join(path.dirname(hostFolder), name.slice('running.'.length));
      if (await isThere(other)) {
        await mark.release();
        const id = path.basename(folder);
        throw new BabelhostError('conflict', `Another babelhost on this store runs the container ${id}.`, { id });
      }
      await rm(path.join(folder, name), { force: true });
    }
    return mark;
  }

  /** The names of the folders of the hosts that say that they run the container: they may be dead. */
  static async holders(folder: string): Promise<string[]> {
    return (await namesIn(folder)).flatMap((name) =>
      name.startsWith('running.') ? [name.slice('running.'.length)] : [],
    );
  }

  async release(): Promise<void> {
    await rm(this.#file, { force: true });
  }
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
