// Which files of a folder tree are ignored: the ignore files of a folder and of those above it, in ripgrep's order. `.ignore`
// goes before `.gitignore`, that before a repository's `info/exclude`, and that before the user's own excludes. As in ripgrep,
// git's files count inside of a repository only (outside, a `.gitignore` is of no repository that git would apply it to), and
// `.ignore` counts anywhere.
import { joinPath } from '../../base/byte-paths.ts';
import { findRepository, readGlobalRules, type Repository } from './git-folders.ts';
import type { IgnoreRules, Pace, Verdict } from './ignore-rules.ts';
import { readWorkspaceRules, type OnWarning } from './rule-files.ts';

/** The ignore files of a folder, and those above it. */
export interface Level {
  readonly above: Level | undefined;
  /** How many parts the folder's path has. */
  readonly depth: number;
  readonly ignore: IgnoreRules | undefined;
  readonly gitignore: IgnoreRules | undefined;
  /** The repository of which it is the top. */
  readonly repository: Repository | undefined;
  readonly isInRepository: boolean;
  /** Of the ignore files here and above. */
  readonly bytes: number;
}

export class IgnoreLevels {
  readonly #onWarning: OnWarning;
  readonly #environment: Readonly<NodeJS.ProcessEnv>;
  #global: Promise<IgnoreRules | undefined> | undefined;
  #globalRules: IgnoreRules | undefined;

  /** @param environment of the user, whose configuration of git counts */
  constructor(environment: Readonly<NodeJS.ProcessEnv>, onWarning: OnWarning) {
    this.#environment = environment;
    this.#onWarning = onWarning;
  }

  /**
   * The level of the folder where a walk begins. The folders above it count as in a walk from the top.
   * @param folder its real path
   */
  async start(folder: Buffer): Promise<Level> {
    let at: Buffer = Buffer.from('/');
    let level = await this.enter(at, undefined, 0);
    for (const [above, part] of partsOf(folder).entries()) {
      at = joinPath(at, Buffer.from(part, 'latin1'));
      level = await this.enter(at, level, above + 1);
    }
    return level;
  }

  /** The level of a folder below `above`: that itself where the folder has no rules of its own. */
  async enter(folder: Buffer, above: Level | undefined, depth: number): Promise<Level> {
    const repository = await findRepository(folder, this.#onWarning);
    const isInRepository = repository !== undefined || above?.isInRepository === true;
    if (isInRepository) {
      this.#global ??= readGlobalRules(this.#environment, this.#onWarning);
      this.#globalRules = await this.#global;
    }
    let { bytes } = above ?? { bytes: 0 };
    const read = async (name: string): Promise<IgnoreRules | undefined> => {
      const found = await readWorkspaceRules(joinPath(folder, name), bytes, this.#onWarning);
      bytes += found?.bytes ?? 0;
      return found?.rules;
    };
    const ignore = await read('.ignore');
    const gitignore = isInRepository ? await read('.gitignore') : undefined;
    if (above !== undefined && ignore === undefined && gitignore === undefined && repository === undefined)
      return above;
    return { above, depth, ignore, gitignore, repository, isInRepository, bytes };
  }

  /**
   * What the rules say of an entry of a folder; undefined where they say nothing.
   * @param path the parts of its path
   */
  async verdict(folder: Level, path: readonly string[], isFolder: boolean, pace: Pace): Promise<Verdict | undefined> {
    const ask = (rules: IgnoreRules | undefined, { depth }: Level): Promise<Verdict | undefined> | undefined =>
      rules?.verdict(path, depth, isFolder, pace);
    for (let level: Level | undefined = folder; level !== undefined; level = level.above) {
      const verdict = await ask(level.ignore, level);
      if (verdict !== undefined) return verdict;
    }
    if (!folder.isInRepository) return undefined;
    for (let level: Level | undefined = folder; level !== undefined; level = level.above) {
      const verdict = await ask(level.gitignore, level);
      if (verdict !== undefined) return verdict;
      if (level.repository !== undefined) {
        return (await ask(level.repository.exclude, level)) ?? (await ask(this.#globalRules, level));
      }
    }
    return undefined;
  }
}

/** The names in an absolute path, bytes read as Latin-1. */
export function partsOf(path: Buffer): string[] {
  return path
    .toString('latin1')
    .split('/')
    .filter((part) => part !== '');
}
