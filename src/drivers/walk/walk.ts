// The files below a folder, in no order: without those that ignore files, a leading dot or globs leave out, and without
// following links, which may lead out of it or round in circles. Names are bytes.
import { isUtf8 } from 'node:buffer';
import type { Dirent, PathLike } from 'node:fs';
import { opendir, realpath } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import picomatch from 'picomatch';
import { joinPath, textOfPath, uriOfPath } from '../../base/byte-paths.ts';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { CancelledError } from '../request.ts';
import { IgnoreLevels, partsOf, type Level } from './ignore-levels.ts';
import type { WalkWarning } from './rule-files.ts';

declare module 'node:fs/promises' {
  /** @types/node has this of readdir only. */
  function opendir(path: PathLike, options: { readonly encoding: 'buffer' }): Promise<AsyncIterable<Dirent<Buffer>>>;
}

export interface WalkRequest {
  /** A `file:` URI. */
  readonly root: string;
  /** Its path. */
  readonly folder: Buffer;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  /** Ignore files are not read. */
  readonly noIgnore?: boolean;
  /** Names with a leading dot are not left out. */
  readonly hidden?: boolean;
}

export interface WalkOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onWarning?: (warning: WalkWarning) => void;
  /** Called for each file and folder that ignore files leave out. */
  readonly onIgnored?: () => void;
}

interface Folder {
  readonly path: Buffer;
  /** Below the root, as globs see it; empty for the root. */
  readonly relative: string;
  /** The parts of its real path, bytes read as Latin-1. */
  readonly parts: readonly string[];
  /** Of the folder above; undefined where ignore files are not read. */
  readonly above: Level | undefined;
}

/** What is left out of a folder unless `exclude` says otherwise. */
const defaultExclude = ['**/.git/**'];

/** How long rules may be compared before other clients get a turn, in milliseconds. */
const turnMs = 10;

/** The host's own lack, which is no property of a folder. */
const lacks: ReadonlySet<string | undefined> = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

/**
 * The paths of the files below a folder.
 * @throws BabelhostError `notFound` where the folder cannot be read; CancelledError
 */
export async function* walk(
  { root, folder: top, include, exclude = defaultExclude, noIgnore = false, hidden = false }: WalkRequest,
  { signal, onWarning = () => undefined, onIgnored = () => undefined }: WalkOptions = {},
): AsyncGenerator<Buffer> {
  // `s`: a name may have a newline, which the dot of a regular expression would leave out.
  const globs = { dot: true, flags: 's' };
  const included = include === undefined ? () => true : picomatch([...include], globs);
  const excluded = picomatch([...exclude], globs);
  const levels = noIgnore ? undefined : new IgnoreLevels(process.env, onWarning);
  const cannotRead = (path: Buffer, error: unknown): BabelhostError =>
    new BabelhostError('notFound', `${textOfPath(path)} cannot be read: ${messageOf(error)}.`, {
      root,
      code: systemErrorCode(error),
    });
  const real = await realpath(top, { encoding: 'buffer' }).catch((error: unknown) => {
    throw cannotRead(top, error);
  });
  const start = await levels?.start(real);
  let turnBegan = performance.now();
  const pace = async (): Promise<void> => {
    if (signal?.aborted === true) throw new CancelledError();
    if (performance.now() - turnBegan < turnMs) return;
    await nextTurn();
    turnBegan = performance.now();
  };
  const folders: Folder[] = [{ path: top, relative: '', parts: partsOf(real), above: start }];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const { path, relative: below, parts, above } = folder;
    const isTop = path === top;
    const level = isTop || above === undefined ? above : await levels?.enter(path, above, parts.length);
    try {
      for await (const entry of await opendir(path, { encoding: 'buffer' })) {
        await pace();
        const isFolder = entry.isDirectory();
        if (!isFolder && !entry.isFile()) continue;
        const { name } = entry;
        const relative = below === '' ? textForGlobs(name) : `${below}/${textForGlobs(name)}`;
        const left = isFolder
          ? excluded(`${relative}/`) || excluded(`${relative}/x`)
          : !included(relative) || excluded(relative);
        if (left) continue;
        const entryParts = [...parts, name.toString('latin1')];
        const verdict = level && (await levels?.verdict(level, entryParts, isFolder, pace));
        if (verdict === 'ignored') onIgnored();
        // As in ripgrep, `!.name` in an ignore file brings a hidden name back.
        if (verdict === 'ignored' || (!hidden && verdict === undefined && name[0] === 0x2e)) continue;
        const entryPath = joinPath(path, name);
        if (isFolder) folders.push({ path: entryPath, relative, parts: entryParts, above: level });
        else yield entryPath;
      }
    } catch (error) {
      if (error instanceof CancelledError) throw error;
      const code = systemErrorCode(error);
      if (isTop || code === undefined || lacks.has(code)) throw cannotRead(path, error);
      // What else is wrong with a folder does not stop the walk.
      if (code !== 'ENOENT') onWarning({ uri: uriOfPath(path), message: cannotRead(path, error).message });
    }
  }
}

/** A name that is no UTF-8 is read as Latin-1, in which most such names were written. */
function textForGlobs(name: Buffer): string {
  return name.toString(isUtf8(name) ? 'utf8' : 'latin1');
}
