// The user that an image's configuration names, looked up in the image's own files.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';
import { readRegularFile } from '../../base/regular-file.ts';
import { idMappings, type IdMapping } from './id-mapping.ts';

export interface ContainerUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
}

/** Far more than any image's, in bytes. */
const largestDatabase = 1024 * 1024;

/** Linux's O_PATH, which Node does not list: refers to a file without opening it. */
const O_PATH = 0o10000000;

function refuse(user: string, why: string): BabelhostError {
  return new BabelhostError(
    'containerFailed',
    `The image wants to run as '${user}', but ${why}. Set a user in the image's configuration that it has, or an id.`,
    { user },
  );
}

/**
 * Reads a file of the root file system's /etc as text; '' if it is not there. Follows no symbolic link, which would be
 * resolved against the host's root. Each step starts at the last one's descriptor: the names may be replaced meanwhile.
 */
async function readDatabase(rootfs: string, name: string, user: string): Promise<string> {
  try {
    await using folder = await open(path.join(rootfs, 'etc'), O_PATH | constants.O_NOFOLLOW);
    if (!(await folder.stat()).isDirectory()) throw refuse(user, `the image's /etc is not a folder`);
    await using found = await open(`/proc/self/fd/${folder.fd}/${name}`, O_PATH | constants.O_NOFOLLOW);
    const status = await found.stat();
    if (status.isSymbolicLink()) throw refuse(user, `the image's /etc/${name} is a symbolic link`);
    if (!status.isFile()) throw refuse(user, `the image's /etc/${name} is not a file`);
    const bytes = await readRegularFile(`/proc/self/fd/${found.fd}`, largestDatabase);
    if (bytes.length <= largestDatabase) return bytes.toString('utf8');
    throw refuse(user, `the image's /etc/${name} has more than ${largestDatabase} bytes`);
  } catch (error) {
    switch (systemErrorCode(error)) {
      case 'ENOENT':
        return '';
      case 'EACCES':
        throw refuse(user, `the image's /etc/${name} may not be read`);
      default:
        throw error;
    }
  }
}

/** The fields of the first line that `matches`. */
function findEntry(text: string, matches: (fields: string[]) => boolean): string[] | undefined {
  for (const line of text.split('\n')) {
    const fields = line.split(':');
    if (fields.length >= 3 && matches(fields)) return fields;
  }
  return undefined;
}

const asId = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;

/**
 * Resolves `user` as the OCI image specification has it ("user", "uid", "user:group", "uid:gid", "uid:group",
 * "user:gid", or '' for root). Without a group, it is the user's own in the image's /etc/passwd, with the groups that
 * list the user in its /etc/group as additional ones.
 * @param size container ids lie below this
 * @throws BabelhostError `containerFailed` if the image does not know the name, or the id is out of range
 */
export async function resolveUser(rootfs: string, user: string, size: number): Promise<ContainerUser> {
  if (user === '' || user === '0:0') return { uid: 0, gid: 0, additionalGids: [] };
  const [userPart = '', groupPart, ...more] = user.split(':');
  if (more.length > 0 || userPart === '' || groupPart === '') throw refuse(user, 'that is not of the form user:group');
  const passwd = await readDatabase(rootfs, 'passwd', user);
  const group = await readDatabase(rootfs, 'group', user);

  const id = asId(userPart);
  // A numeric user need not be in the file; a name that is all digits is an id (as in runc and Docker).
  const entry = findEntry(passwd, (fields) => (id === undefined ? fields[0] === userPart : asId(fields[2]) === id));
  const uid = id ?? asId(entry?.[2]);
  if (uid === undefined) throw refuse(user, `the image's /etc/passwd has no user '${userPart}'`);

  let gid: number;
  let additionalGids: number[] = [];
  if (groupPart !== undefined) {
    const found = asId(groupPart) ?? asId(findEntry(group, (fields) => fields[0] === groupPart)?.[2]);
    if (found === undefined) throw refuse(user, `the image's /etc/group has no group '${groupPart}'`);
    gid = found;
  } else {
    gid = asId(entry?.[3]) ?? 0;
    const name = entry?.[0];
    if (name !== undefined) additionalGids = groupsOf(group, name, gid, size);
  }
  if (uid >= size || gid >= size) {
    throw refuse(
      user,
      size === 1
        ? 'this machine grants babelhost one id only: an entry in /etc/subuid and /etc/subgid would give more'
        : `containers have ids below ${size} on this machine`,
    );
  }
  return { uid, gid, additionalGids };
}

function groupsOf(group: string, name: string, gid: number, size: number): number[] {
  const gids = new Set<number>();
  for (const line of group.split('\n')) {
    const [, , id, members] = line.split(':');
    const number = asId(id);
    if (number === undefined || number === gid || number >= size) continue;
    if (members?.split(',').includes(name) === true) gids.add(number);
  }
  // NGROUPS_MAX would be 65536; no image has a use for that many.
  return [...gids].slice(0, 64);
}

/** The user of a process, with the container's ids. */
export async function processUser(idMapping: IdMapping, rootfs: string, name: string): Promise<ContainerUser> {
  const { uids, gids } = idMappings(idMapping);
  const user = await resolveUser(rootfs, name, Math.min(uids.count, gids.count));
  // Without a granted range the kernel forbids setgroups(2).
  return idMapping.kind === 'own' ? { ...user, additionalGids: [] } : user;
}
