// What git itself has of ignore rules outside of `.gitignore`: a repository's `info/exclude`, and the file that the user's
// configuration names. Git is never run: the configuration of a stranger's repository may make it execute programs.
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { joinPath, uriOfPath } from '../../base/byte-paths.ts';
import type { IgnoreRules } from './ignore-rules.ts';
import { readOwnRules, readSmallFile, type OnWarning } from './rule-files.ts';

/** Paths in `.git` files have at most PATH_MAX bytes, and a word before them. */
const largestPointer = { bytes: 8192 };
const prefix = 'gitdir: ';
const largestConfiguration = { bytes: 1024 * 1024 };

/** A folder that is the top of a repository's working tree. */
export interface Repository {
  /** The rules of `info/exclude`. */
  readonly exclude: IgnoreRules | undefined;
}

/** What a folder is the top of; undefined for most. */
export async function findRepository(folder: Buffer, onWarning: OnWarning): Promise<Repository | undefined> {
  const place = joinPath(folder, '.git');
  const stats = await stat(place).catch(() => undefined);
  if (stats?.isDirectory() === true) return { exclude: await readExclude(place, onWarning) };
  if (stats?.isFile() !== true) return undefined;
  // Of a worktree or a submodule: a file that says where the repository is (gitrepository-layout(5)).
  const pointer = await readSmallFile(place, largestPointer, onWarning);
  const target = pointer && pathIn(pointer);
  if (target?.startsWith(prefix) !== true) return { exclude: undefined };
  const own = resolve(folder, target.slice(prefix.length));
  const shared = await readSmallFile(joinPath(own, 'commondir'), largestPointer, onWarning);
  const common = shared && pathIn(shared);
  return { exclude: await readExclude(common === undefined ? own : resolve(own, common), onWarning) };
}

/** What such a file has before the newlines at its end; undefined where that can be no path. */
function pathIn(content: Buffer): string | undefined {
  let end = content.length;
  while (content[end - 1] === 0x0a || content[end - 1] === 0x0d) end -= 1;
  return end === 0 || content.includes(0) ? undefined : content.toString('latin1', 0, end);
}

async function readExclude(gitFolder: Buffer, onWarning: OnWarning): Promise<IgnoreRules | undefined> {
  return await readOwnRules(joinPath(joinPath(gitFolder, 'info'), 'exclude'), onWarning);
}

/** @param other bytes read as Latin-1 */
function resolve(folder: Buffer, other: string): Buffer {
  return Buffer.from(path.posix.resolve(folder.toString('latin1'), other), 'latin1');
}

/** The rules of `core.excludesFile`, or of git's default for it. */
export async function readGlobalRules(
  environment: Readonly<NodeJS.ProcessEnv>,
  onWarning: OnWarning,
): Promise<IgnoreRules | undefined> {
  const home = environment['HOME'] ?? homedir();
  const xdg = environment['XDG_CONFIG_HOME'];
  const gitFolder = path.join(xdg === undefined || xdg === '' ? path.join(home, '.config') : xdg, 'git');
  const chosen = environment['GIT_CONFIG_GLOBAL'];
  const files = chosen === undefined ? [path.join(gitFolder, 'config'), path.join(home, '.gitconfig')] : [chosen];
  let excludes = Buffer.from(path.join(gitFolder, 'ignore'));
  for (const file of files.filter((each) => each !== '').map((each) => Buffer.from(path.resolve(each)))) {
    const content = await readSmallFile(file, largestConfiguration, onWarning);
    const value = content && excludesFileOf(content.toString('latin1'));
    if (value === undefined) continue;
    if (value === '') return undefined;
    const expanded = value.replace(/^~(?=\/)/, () => Buffer.from(home).toString('latin1'));
    if (!expanded.startsWith('/')) {
      const message = `core.excludesFile in ${file.toString()} is not used: it must be absolute or begin with ~/.`;
      onWarning({ uri: uriOfPath(file), message });
      return undefined;
    }
    excludes = Buffer.from(expanded, 'latin1');
  }
  return await readOwnRules(excludes, onWarning);
}

/** The last value of `core.excludesFile` in a configuration (git-config(1), "Syntax"). */
export function excludesFileOf(text: string): string | undefined {
  let found: string | undefined;
  let isCore = false;
  const lines = text.replace(/^\xef\xbb\xbf/, '').replaceAll('\r\n', '\n');
  // A header, or a key with its value; a backslash at a line's end goes on in the next.
  const parts = /[ \t]*(?:\[([^\]\n]*)\]|([a-z][a-z0-9-]*)[ \t]*=((?:[^\\\n]|\\[^])*)|[^\n[][^\n]*|\n|\[)/giy;
  for (const [, header, key, value] of lines.matchAll(parts)) {
    if (header !== undefined) isCore = header.toLowerCase() === 'core';
    else if (isCore && key?.toLowerCase() === 'excludesfile') found = configurationValue(value ?? '');
  }
  return found;
}

/** A value without its quotes, escapes, comment and outer blanks. */
function configurationValue(raw: string): string {
  let value = '';
  /** The value up to its last character that is no blank outside of quotes. */
  let end = 0;
  let quoted = false;
  const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', b: '\b', '\n': '' };
  for (const [part] of raw.trimStart().matchAll(/\\[^]|[^]/g)) {
    if (part === '"') {
      quoted = !quoted;
    } else if (!quoted && (part === '#' || part === ';')) {
      break;
    } else {
      const escaped = part.length > 1 ? part.slice(1) : undefined;
      value += escaped === undefined ? part : (escapes[escaped] ?? escaped);
      if (quoted || !/^[ \t]$/.test(part)) end = value.length;
    }
  }
  return value.slice(0, end);
}
