// Where a host may listen and be reached: only where nobody but its user, or root, can replace the socket. Clients send
// their sources there.
import { lstat, realpath, stat } from 'node:fs/promises';
import path from 'node:path';

/** The owner, in a user namespace, of files whose owner has no id in it, mostly root's (user_namespaces(7)). */
const overflowId = 65_534;

const isTrusted = (uid: number): boolean => uid === process.geteuid?.() || uid === 0 || uid === overflowId;

/**
 * Why somebody else could replace what lies at a path; undefined where nobody could.
 * @throws what Node throws where there is no such folder
 */
export async function whyReplaceable(file: string): Promise<string | undefined> {
  for (let folder = await realpath(path.dirname(file)); ; folder = path.dirname(folder)) {
    const { uid, gid, mode } = await stat(folder);
    if (!isTrusted(uid)) return `${folder} belongs to another user (id ${uid})`;
    // A user's private group has no other member; in a sticky folder only the owner of a file can replace it.
    const forGroup = (mode & 0o020) !== 0 && gid !== process.getegid?.() && gid !== 0;
    const forAll = (mode & 0o002) !== 0;
    if ((forGroup || forAll) && (mode & 0o1000) === 0) return `others may write to ${folder}`;
    if (folder === path.dirname(folder)) return undefined;
  }
}

/**
 * The socket that a path leads to, links followed, and why the host there may be another's; no reason where it is not.
 * @throws what Node throws where there is none
 */
export async function findSocket(file: string): Promise<{ readonly real: string; readonly reason?: string }> {
  const real = await realpath(file);
  const { uid } = await lstat(real);
  const reason = isTrusted(uid) ? await whyReplaceable(real) : `it belongs to another user (id ${uid})`;
  return { real, ...(reason !== undefined && { reason }) };
}
