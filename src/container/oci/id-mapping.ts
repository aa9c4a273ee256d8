// Which ids of this machine belong to containers, from /proc, /etc/subuid and /etc/subgid.
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import type { FileOwners } from '../../base/file-owners.ts';
import { readOrEmpty } from '../sync-fs.ts';

/** Consecutive ids, in the host's numbers. */
export interface IdRange {
  readonly first: number;
  readonly count: number;
}

/**
 * The host's id for a container's root, where babelhost runs as root. systemd's list of what each id is used for
 * (systemd.io/UIDS-GIDS) has 1879048192 to 2147352575 as unused: above what useradd gives to people (60000), above the
 * subordinate ids that shadow grants (to 600100000) and those of systemd-nspawn (524288 to 1879048191), and below 2³¹,
 * where some programs and file systems begin to err. One base for the files of all images, which share them; the
 * ranges after it are for containers, each of which has one of its own where the machine can show it the files so.
 */
export const defaultBase = 0x7000_0000;

/** The last of those unused ids. */
const lastId = 2_147_352_575;

/** Ids of a container: 0 to 65535, what images use (65534 is nobody). */
export const containerIds = 65536;

/** Which ids this process can give to containers. */
export type IdMapping =
  /**
   * With the privileges for it: the runtime makes the container's user namespace. `ids` are those of images' files on
   * disk; `ranges` is how many ranges of the same size follow them.
   */
  | { readonly kind: 'privileged'; readonly ids: IdRange; readonly ranges: number }
  /**
   * As an ordinary user, or as a root that may map ids and no more: the guard makes a user namespace first, with the
   * user's id as 0 and a range after it, of /etc/subuid and /etc/subgid or, for such a root, the machine's own.
   */
  | { readonly kind: 'granted'; readonly uids: IdRange; readonly gids: IdRange; readonly by: 'subuid' | 'root' }
  /** As an ordinary user without a range: the container's root is the user itself. */
  | { readonly kind: 'own'; readonly reason: string };

/** Parses /etc/subuid or /etc/subgid (subuid(5)): the first large range of a user, by name or id. */
export function parseSubordinateIds(text: string, name: string, id: number): IdRange | undefined {
  let best: IdRange | undefined;
  for (const line of text.split('\n')) {
    const [owner, first, count] = line.trim().split(':');
    if (owner !== name && owner !== String(id)) continue;
    const range = { first: Number(first), count: Number(count) };
    if (!Number.isSafeInteger(range.first) || !Number.isSafeInteger(range.count) || range.count < 1) continue;
    if (best === undefined || range.count > best.count) best = range;
  }
  return best;
}

/** Ids that exist in our user namespace, from /proc/self/uid_map (user_namespaces(7)). */
export function parseIdMap(text: string): IdRange[] {
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [first = NaN, , count = NaN] = line.trim().split(/\s+/).map(Number);
      return { first, count };
    });
}

function has(ranges: readonly IdRange[], wanted: IdRange): boolean {
  return ranges.some(
    (range) => wanted.first >= range.first && wanted.first + wanted.count <= range.first + range.count,
  );
}

/** CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID (capability.h): needed to make namespaces and map ids. */
const privileges = (1n << 21n) | (1n << 7n) | (1n << 6n);
/** CAP_SETUID, CAP_SETGID, CAP_SETFCAP: needed to map ids, 0 among them, into a new user namespace. */
const mappingCapabilities = (1n << 7n) | (1n << 6n) | (1n << 31n);

/** The effective capabilities of root; none for anybody else. */
function rootCapabilities(): bigint {
  if (process.geteuid?.() !== 0) return 0n;
  const status = readFileSync('/proc/self/status', 'utf8');
  return BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
}

function idMaps(): IdRange[][] {
  return ['/proc/self/uid_map', '/proc/self/gid_map'].map((file) => parseIdMap(readFileSync(file, 'utf8')));
}

/** Ids that root may give to containers: those from `base` on, or the last of our user namespace. */
function spareIds(base: number): IdRange | undefined {
  const maps = idMaps();
  const wanted = { first: base, count: containerIds };
  if (maps.every((map) => has(map, wanted))) return wanted;
  // Root of a user namespace, as in another's container.
  const inside = maps.map((map) => Math.max(...map.map((range) => range.first + range.count)));
  const count = Math.min(containerIds, Math.min(...inside) - 1);
  const most = { first: Math.min(...inside) - count, count };
  return count > 0 && maps.every((map) => has(map, most)) ? most : undefined;
}

/** How many ranges follow one, in the machine's unused ids and in our user namespace. */
function furtherRanges({ first, count }: IdRange): number {
  const ranges = Math.floor((lastId + 1 - first) / containerIds) - 1;
  const wanted = { first, count: (ranges + 1) * containerIds };
  const isWhole = count === containerIds && ranges > 0 && idMaps().every((map) => has(map, wanted));
  return isWhole ? ranges : 0;
}

/** The user's name as /etc/passwd has it; its id where it is not there. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.());
  }
}

export function findIdMapping(base: number = defaultBase): IdMapping {
  const capabilities = rootCapabilities();
  const ids = capabilities === 0n ? undefined : spareIds(base);
  if ((capabilities & privileges) === privileges) {
    if (ids !== undefined) return { kind: 'privileged', ids, ranges: furtherRanges(ids) };
    return { kind: 'own', reason: 'the user namespace that babelhost runs in has no ids to spare' };
  }
  const uid = process.getuid?.() ?? 0;
  const [uids, gids] = [readOrEmpty('/etc/subuid'), readOrEmpty('/etc/subgid')].map((text) =>
    parseSubordinateIds(text, userName(), uid),
  );
  if (uids === undefined || gids === undefined) {
    // As in another's container without CAP_SYS_ADMIN: the driver must not be root there.
    if (ids !== undefined && (capabilities & mappingCapabilities) === mappingCapabilities) {
      return { kind: 'granted', uids: ids, gids: ids, by: 'root' };
    }
    const missing = [uids === undefined ? '/etc/subuid' : [], gids === undefined ? '/etc/subgid' : []].flat();
    return { kind: 'own', reason: `${missing.join(' and ')} ${missing.length > 1 ? 'grant' : 'grants'} no range` };
  }
  return { kind: 'granted', uids, gids, by: 'subuid' };
}

export function fileOwnersOf(idMapping: IdMapping): FileOwners {
  return idMapping.kind === 'privileged'
    ? { kind: 'mapped', base: idMapping.ids.first, size: idMapping.ids.count }
    : { kind: 'single' };
}

/**
 * The ids of a container, in the namespace that the runtime runs in.
 * @param own the range that is this container's own, where it has one
 */
export function idMappings(idMapping: IdMapping, own?: IdRange): { uids: IdRange; gids: IdRange } {
  switch (idMapping.kind) {
    case 'privileged':
      return { uids: own ?? idMapping.ids, gids: own ?? idMapping.ids };
    case 'granted': {
      const range = (granted: IdRange) => ({ first: 1, count: Math.min(granted.count, containerIds) });
      return { uids: range(idMapping.uids), gids: range(idMapping.gids) };
    }
    case 'own':
      return { uids: { first: 0, count: 1 }, gids: { first: 0, count: 1 } };
  }
}

/**
 * The ranges above the one that images' files have on disk, where these can be shown to each container with ids of its own
 * (native/rootfs.c): what the kernel counts by the user is then counted for each container. Hosts do not know of each
 * other's, so they take theirs at random.
 */
export class IdRanges {
  readonly #first: number;
  readonly #count: number;
  readonly #taken = new Set<number>();

  /**
   * @param first the first id of the first range
   * @param count how many ranges there are, at least one
   */
  constructor(first: number, count: number) {
    this.#first = first;
    this.#count = count;
  }

  /** A range that no other container of this host has. When all are taken, one that another container has as well. */
  take(): IdRange {
    let slot = randomInt(this.#count);
    for (let tries = 0; this.#taken.has(slot) && tries < this.#count; tries += 1) slot = (slot + 1) % this.#count;
    this.#taken.add(slot);
    return { first: this.#first + slot * containerIds, count: containerIds };
  }

  release(range: IdRange | undefined): void {
    if (range !== undefined) this.#taken.delete((range.first - this.#first) / containerIds);
  }
}
