// The package as people get it: packed in a fresh clone, and installed in an empty folder, on a machine without compiler.
import { execFile, spawn } from 'node:child_process';
import { cp, mkdir, realpath, symlink } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findProgram } from '../../src/container/oci/runtime-program.ts';
import { collect, type Ended } from '../support/program.ts';

const execute = promisify(execFile);
const project = fileURLToPath(new URL('../..', import.meta.url));

export interface InstalledPackage {
  readonly tarball: string;
  /** The folder with `node_modules`. */
  readonly folder: string;
  /** The package in it. */
  readonly place: string;
  /** Runs a program in the folder. Of programs there are Node's own, a shell and runc. */
  run(command: readonly string[], environment?: NodeJS.ProcessEnv): Promise<Ended>;
}

/** Packs and installs it in `place`, an empty folder. */
export async function installPackage(place: string): Promise<InstalledPackage> {
  const clone = path.join(place, 'clone');
  const folder = path.join(place, 'installed');
  const bin = path.join(place, 'bin');
  for (const each of [clone, folder, bin]) await mkdir(each);
  await copySources(clone);
  await execute('npm', ['pack', '--silent', '--pack-destination', place], { cwd: clone, env: environment() });
  const tarball = path.join(place, `babelhost-${await versionOf(clone)}.tgz`);

  const npm = path.dirname(await realpath(findProgram('npm') ?? 'npm'));
  const programs = { node: process.execPath, npm: `${npm}/npm-cli.js`, npx: `${npm}/npx-cli.js`, sh: '/bin/sh' };
  for (const [name, file] of Object.entries(programs)) await symlink(file, path.join(bin, name));
  await symlink(findProgram('runc') ?? 'runc', path.join(bin, 'runc'));
  const own = {
    PATH: bin,
    BABELHOST_ROOT: path.join(place, 'root'),
    XDG_CACHE_HOME: path.join(place, 'cache'),
  };
  const run: InstalledPackage['run'] = async (command, more = {}) => {
    const [program = '', ...args] = command;
    const env = { ...environment(), ...own, ...more };
    // Found in the PATH of the child, not in this process's own.
    const file = env.PATH.split(':').includes(bin) && !program.includes('/') ? path.join(bin, program) : program;
    return await collect(spawn(file, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] }));
  };
  const installed = await run(['npm', 'install', '--prefer-offline', '--loglevel=error', tarball]);
  if (installed.status !== 0) throw new Error(`npm install ended with ${installed.status}: ${installed.stderr}`);
  return { tarball, folder, place: path.join(folder, 'node_modules/babelhost'), run };
}

/** What git has or would take, and the packages that package-lock.json names, which `npm ci` would bring again. */
async function copySources(clone: string): Promise<void> {
  const list = ['-c', `safe.directory=${project.replace(/\/$/, '')}`, 'ls-files', '-z', '-co', '--exclude-standard'];
  const { stdout } = await execute('git', list, { cwd: project, maxBuffer: 16 * 1024 * 1024 });
  for (const name of stdout.split('\0').filter((each) => each !== '')) {
    await cp(path.join(project, name), path.join(clone, name), { preserveTimestamps: true });
  }
  await symlink(path.join(project, 'node_modules'), path.join(clone, 'node_modules'));
}

async function versionOf(folder: string): Promise<string> {
  const { stdout } = await execute('npm', ['pkg', 'get', 'version'], { cwd: folder, env: environment() });
  return JSON.parse(stdout) as string;
}

/** Without what an npm that runs the tests has set for its own folder. */
function environment(): NodeJS.ProcessEnv {
  const own = /^(npm_(package|lifecycle|command|execpath|config_local_prefix)|INIT_CWD|NODE_V8_COVERAGE)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)));
}
