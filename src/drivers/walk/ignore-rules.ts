// The rules of one ignore file (gitignore(5)): what each line means, and what they say of a path together. Texts are bytes
// read as Latin-1. Pure.
import { compile, matches, type Segment } from './wildmatch.ts';

export type Verdict = 'ignored' | 'kept';

/** Gives others a turn where much time has gone, and throws where nobody waits for the answer any more. */
export type Pace = () => Promise<void>;

interface Rule {
  readonly verdict: Verdict;
  readonly folderOnly: boolean;
  /** Without a slash, a pattern is for names anywhere below its file. */
  readonly nameOnly: boolean;
  readonly segments: readonly Segment[];
  readonly bytes: number;
}

/** As long as a path may be (PATH_MAX), in bytes. */
const longestLine = 4096;

/** How many bytes of patterns are compared at a stretch. */
const stretch = 4096;

export class IgnoreRules {
  /** Lines that are not used because they are too long. */
  readonly tooLong: number;
  /** The last line first: it decides. */
  readonly #rules: readonly Rule[];

  /** @param content of an ignore file */
  constructor(content: Buffer) {
    const text = content.toString('latin1').replace(/^\xef\xbb\xbf/, '');
    const lines = text.split('\n').map((line) => line.replace(/\r$/, ''));
    const usable = lines.filter((line) => line.length <= longestLine);
    this.tooLong = lines.length - usable.length;
    this.#rules = usable.flatMap((line) => parseLine(line) ?? []).reverse();
  }

  /**
   * What these rules say of a file or folder; undefined where they say nothing.
   * @param path the parts of its path
   * @param depth how many of these are the folder that the ignore file is for
   */
  async verdict(path: readonly string[], depth: number, isFolder: boolean, pace: Pace): Promise<Verdict | undefined> {
    let compared = 0;
    for (const { verdict, folderOnly, nameOnly, segments, bytes } of this.#rules) {
      compared += bytes;
      if (compared > stretch) {
        compared = 0;
        await pace();
      }
      if (folderOnly && !isFolder) continue;
      if (matches(segments, path, nameOnly ? path.length - 1 : depth)) return verdict;
    }
    return undefined;
  }
}

function parseLine(line: string): Rule | undefined {
  // Git reads lines as strings of C.
  let pattern = withoutTrailingSpaces(line.replace(/\0.*/s, ''));
  if (pattern === '' || pattern.startsWith('#')) return undefined;
  const negated = pattern.startsWith('!');
  if (negated) pattern = pattern.slice(1);
  const folderOnly = pattern.endsWith('/');
  if (folderOnly) pattern = pattern.slice(0, -1);
  const nameOnly = !pattern.includes('/');
  const segments = compile(pattern.replace(/^\//, ''));
  const bytes = pattern.length;
  return segments && { verdict: negated ? 'kept' : 'ignored', folderOnly, nameOnly, segments, bytes };
}

/** A backslash keeps the space after it. */
function withoutTrailingSpaces(line: string): string {
  let end = line.length;
  while (line[end - 1] === ' ') end -= 1;
  let backslashes = 0;
  while (line[end - 1 - backslashes] === '\\') backslashes += 1;
  return end < line.length && backslashes % 2 === 1 ? line.slice(0, end + 1) : line.slice(0, end);
}
