// The bundled program's entry, around a program of a few lines: bytecode is kept and used, and never in the way.
import { execFile } from 'node:child_process';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { isRoot } from '../support/privileges.ts';

/** An id that nobody on the machine has. */
const stranger = 54_321;
const entry = fileURLToPath(new URL('../../scripts/bundle-entry.cjs', import.meta.url));
const folderName = `1.2.3-${process.version}-${process.arch}`;
/** As scripts/bundle.ts writes the program's files. */
const asFunction = (code: string): string => `(function (exports, require, module, __filename, __dirname) {${code}\n})`;
const program = (greeting: string): string =>
  asFunction(`
const part = require('./program-part.cjs');
exports.run = async (args) => {
  console.log(part.greet(args.join(' '), '${greeting}'));
  return args.length;
};`);
const part = asFunction('exports.greet = (name, word) => `${word}, ${name}`;');

interface Bundle extends AsyncDisposable {
  readonly folder: string;
  /** The bytecode of a file, beside the program or in the user's folder. */
  bytecode(file: string, where?: 'beside' | 'user'): string;
  install(build: string, greeting: string): Promise<void>;
  run(...args: string[]): Promise<{ status: number; stdout: string; stderr: string }>;
}

async function makeBundle(): Promise<Bundle> {
  const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-entry-'));
  const dist = path.join(folder, 'dist');
  await mkdir(path.join(dist, 'cli'), { recursive: true });
  const bundle: Bundle = {
    folder,
    bytecode: (file, where = 'beside') =>
      path.join(
        where === 'beside' ? path.join(dist, 'compile-cache') : path.join(folder, 'cache/babelhost'),
        folderName,
        `${file}.bytecode`,
      ),
    async install(build, greeting) {
      const text = await readFile(entry, 'utf8');
      await writeFile(
        path.join(dist, 'cli/main.cjs'),
        text.replace('__BUILD__', build).replace('__VERSION__', '1.2.3'),
      );
      await writeFile(path.join(dist, 'program.cjs'), program(greeting));
      await writeFile(path.join(dist, 'program-part.cjs'), part);
    },
    async run(...args) {
      const env = { ...process.env, XDG_CACHE_HOME: path.join(folder, 'cache') };
      const ended = promisify(execFile)(process.execPath, [path.join(dist, 'cli/main.cjs'), ...args], { env });
      const {
        code = 0,
        stdout,
        stderr,
      } = await ended.then(
        (output) => ({ code: 0, ...output }),
        (error: unknown) => error as { code?: number; stdout: string; stderr: string },
      );
      return { status: code, stdout, stderr };
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
  await bundle.install('a'.repeat(16), 'hello');
  return bundle;
}

describe('the bundled entry', () => {
  it('runs the program with its arguments and ends with its status', async () => {
    await using bundle = await makeBundle();
    expect(await bundle.run('a', 'b')).toEqual({ status: 2, stdout: 'hello, a b\n', stderr: '' });
  });

  it('keeps bytecode at the first run and goes on with it', async () => {
    await using bundle = await makeBundle();
    await bundle.run('a');
    const kept = await stat(bundle.bytecode('program-part.cjs'));
    expect((await bundle.run('b')).stdout).toBe('hello, b\n');
    expect(await stat(bundle.bytecode('program-part.cjs'))).toMatchObject({ ino: kept.ino, mtimeMs: kept.mtimeMs });
  });

  it('takes no bytecode of another build, nor of a file that is cut off or none at all', async () => {
    await using bundle = await makeBundle();
    await bundle.run('a');
    const file = bundle.bytecode('program.cjs');
    // As long as the first, so that the text's length, all that V8 compares, tells no difference.
    await bundle.install('b'.repeat(16), 'howdy');
    expect(await bundle.run('a')).toMatchObject({ stdout: 'howdy, a\n', stderr: '' });
    expect((await readFile(file)).toString('latin1', 0, 16)).toBe('b'.repeat(16));
    const whole = (await stat(file)).size;
    for (const size of [0, 16, 40, whole - 1]) {
      await truncate(file, size);
      expect(await bundle.run('a')).toMatchObject({ stdout: 'howdy, a\n', stderr: '' });
      expect((await stat(file)).size).toBeGreaterThan(40);
    }
    await writeFile(file, `${'b'.repeat(16)}${'nonsense'.repeat(100)}`);
    expect(await bundle.run('a')).toMatchObject({ stdout: 'howdy, a\n', stderr: '' });
  });

  it('keeps it in the user’s folder where the program’s cannot be written to, or nowhere', async () => {
    await using bundle = await makeBundle();
    // A file in the way stops root too, whom no mode stops.
    await writeFile(path.join(bundle.folder, 'dist/compile-cache'), '');
    expect((await bundle.run('a')).stdout).toBe('hello, a\n');
    const kept = await stat(bundle.bytecode('program.cjs', 'user'));
    expect((await bundle.run('a')).stdout).toBe('hello, a\n');
    expect((await stat(bundle.bytecode('program.cjs', 'user'))).ino).toBe(kept.ino);
    await rm(path.join(bundle.folder, 'cache'), { recursive: true });
    await writeFile(path.join(bundle.folder, 'cache'), '');
    await chmod(path.join(bundle.folder, 'cache'), 0o444);
    expect(await bundle.run('a')).toEqual({ status: 1, stdout: 'hello, a\n', stderr: '' });
  });

  it.runIf(isRoot)('takes none that another user wrote, and writes none into another’s folder', async () => {
    await using bundle = await makeBundle();
    await chmod(bundle.folder, 0o755);
    const cache = path.join(bundle.folder, 'cache');
    // A file in the way beside the program.
    await writeFile(path.join(bundle.folder, 'dist/compile-cache'), '');
    // Bytecode of other code, which V8 cannot tell: the text is as long.
    await bundle.install('a'.repeat(16), 'pwned');
    await bundle.run('a');
    await bundle.install('a'.repeat(16), 'hello');
    const file = bundle.bytecode('program.cjs', 'user');
    expect((await bundle.run('a')).stdout).toBe('pwned, a\n');
    await chown(file, stranger, stranger);
    expect((await bundle.run('a')).stdout).toBe('hello, a\n');

    // As sudo leaves HOME, where the user has made links for whoever writes there.
    await rm(cache, { recursive: true });
    const precious = path.join(bundle.folder, 'precious');
    await mkdir(precious);
    await mkdir(cache);
    await symlink(precious, path.join(cache, 'babelhost'));
    await chown(cache, stranger, stranger);
    expect((await bundle.run('a')).stdout).toBe('hello, a\n');
    expect(await readdir(precious)).toEqual([]);
  });
});
