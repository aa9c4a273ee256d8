// Reads the files that say what git ignores. Those of a workspace are a stranger's: in such a file's place may be a folder,
// a FIFO, a link out of the workspace or a file without end. What cannot be used is told in a warning, and the rest goes on.
import { constants } from 'node:fs';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { textOfPath, uriOfPath } from '../../base/byte-paths.ts';
import { readRegularFile } from '../../base/regular-file.ts';
import { IgnoreRules } from './ignore-rules.ts';

/** Something of a folder that could not be used, while the rest goes on. */
export interface WalkWarning {
  readonly uri: string;
  readonly message: string;
}

const nullDevice = Buffer.from('/dev/null');

export type OnWarning = (warning: WalkWarning) => void;

/** In bytes, of the ignore files of a folder and of those above: every rule is compared with every file. People write less. */
export const largestRules = 128 * 1024;

/** The rules of a file and how many bytes they were; undefined where there is none or it cannot be used. */
export interface SizedRules {
  readonly rules: IgnoreRules;
  readonly bytes: number;
}

/**
 * Reads an ignore file of a workspace. As git does, it follows no link there.
 * @param above bytes of the ignore files of the folders above
 */
export async function readWorkspaceRules(
  file: Buffer,
  above: number,
  onWarning: OnWarning,
): Promise<SizedRules | undefined> {
  const limit = { bytes: largestRules - above, flags: constants.O_NOFOLLOW };
  return rulesOf(file, await readSmallFile(file, limit, onWarning), onWarning);
}

/** Reads an ignore file of the user's own, or of a repository's `.git`. */
export async function readOwnRules(file: Buffer, onWarning: OnWarning): Promise<IgnoreRules | undefined> {
  return rulesOf(file, await readSmallFile(file, { bytes: largestRules }, onWarning), onWarning)?.rules;
}

function rulesOf(file: Buffer, content: Buffer | undefined, onWarning: OnWarning): SizedRules | undefined {
  if (content === undefined) return undefined;
  const rules = new IgnoreRules(content);
  if (rules.tooLong > 0) {
    const message = `${textOfPath(file)} has lines that are longer than a path can be, which are not used: ${rules.tooLong}.`;
    onWarning({ uri: uriOfPath(file), message });
  }
  return { rules, bytes: content.length };
}

/** @returns undefined where there is no such file, or, with a warning, where it cannot be used */
export async function readSmallFile(
  file: Buffer,
  limit: { readonly bytes: number; readonly flags?: number },
  onWarning: OnWarning,
): Promise<Buffer | undefined> {
  // People name it to have none.
  if (file.equals(nullDevice)) return undefined;
  let reason: string;
  try {
    const content = await readRegularFile(file, limit.bytes, limit.flags);
    if (content.length <= limit.bytes) return content;
    reason =
      limit.flags === undefined
        ? `it has more than ${limit.bytes} bytes`
        : `with those of the folders above it, it has more than ${largestRules} bytes`;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    if (code === 'ELOOP') reason = 'it is a symbolic link, which is not followed';
    else reason = error instanceof BabelhostError ? 'it is not a regular file' : messageOf(error);
  }
  onWarning({ uri: uriOfPath(file), message: `${textOfPath(file)} is not used: ${reason}.` });
  return undefined;
}
