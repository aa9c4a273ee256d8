// Where the command line has Node keep bytecode: never where another user could put some of theirs.
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { version } from '../../src/base/package.ts';
import { isRoot } from '../support/privileges.ts';
import { mainProgram } from '../support/served-host.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** An id that nobody on the machine has. */
const stranger = 54_321;

/** Runs the program, whose Node tells on stderr what it does with the cache. */
async function start(cache: string): Promise<{ version: string; reads: boolean; accepts: boolean }> {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [mainProgram, '--version'], {
    env: { ...process.env, XDG_CACHE_HOME: cache, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' },
  });
  return {
    version: stdout.trim(),
    reads: /reading cache from .*\/program\.cjs/.test(stderr),
    accepts: stderr.includes('/program.cjs was accepted'),
  };
}

const slowly = { version, reads: false, accepts: false };

describe('the compile cache', () => {
  it('is made in the user’s cache folder at the first start, for that user alone, and used at the next', async () => {
    const cache = path.join(await temporaryFolder(), 'cache');
    expect(await start(cache)).toEqual({ version, reads: true, accepts: false });
    expect(await start(cache)).toEqual({ version, reads: true, accepts: true });
    expect((await stat(path.join(cache, 'babelhost'))).mode & 0o777).toBe(0o700);
  });

  it('is done without where its folder cannot be made', async () => {
    const cache = path.join(await temporaryFolder(), 'cache');
    await writeFile(cache, '');
    expect(await start(cache)).toEqual(slowly);
  });

  it('is neither read nor written where others may write', async () => {
    const cache = path.join(await temporaryFolder(), 'cache');
    await start(cache);
    for (const folder of [cache, path.join(cache, 'babelhost')]) {
      const { mode } = await stat(folder);
      for (const more of [0o020, 0o002]) {
        await chmod(folder, mode | more);
        expect(await start(cache)).toEqual(slowly);
      }
      await chmod(folder, mode);
    }
    expect(await start(cache)).toEqual({ version, reads: true, accepts: true });
  });

  it.runIf(isRoot)('is neither read nor written in a folder of another user, nor made there', async () => {
    const cache = path.join(await temporaryFolder(), 'cache');
    await start(cache);
    await chown(path.join(cache, 'babelhost'), stranger, stranger);
    expect(await start(cache)).toEqual(slowly);

    // As sudo leaves HOME, where the user has made links for whoever writes there.
    const theirs = path.join(await temporaryFolder(), 'theirs');
    const precious = path.join(await temporaryFolder(), 'precious');
    for (const folder of [theirs, precious]) await mkdir(folder);
    await symlink(precious, path.join(theirs, 'babelhost'));
    await chown(theirs, stranger, stranger);
    for (const folder of [theirs, path.join(theirs, 'below')]) expect(await start(folder)).toEqual(slowly);
    expect([await readdir(precious), await readdir(theirs)]).toEqual([[], ['babelhost']]);
  });
});
