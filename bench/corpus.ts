// Real sources to measure with: files of npm packages that the project depends on for development, and of Python's
// standard library.
import { execFile } from 'node:child_process';
import { glob, lstat, readFile, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { python } from './line-process.ts';

const packages = fileURLToPath(new URL('../node_modules/', import.meta.url));

export interface SourceFile {
  readonly file: string;
  readonly content: string;
}

let listed: Promise<readonly { file: string; size: number }[]> | undefined;

/** The JavaScript files of the packages, by size. */
async function list(): Promise<readonly { file: string; size: number }[]> {
  const files: { file: string; size: number }[] = [];
  for await (const name of glob(
    '{zod,vite,vitest,rolldown,prettier,eslint,fast-check,typescript-eslint,@typescript-eslint,@babel}/**/*.{js,mjs,cjs}',
    { cwd: packages },
  )) {
    const file = path.join(packages, name);
    files.push({ file, size: (await stat(file)).size });
  }
  return files.sort((a, b) => a.size - b.size || a.file.localeCompare(b.file));
}

/** The file whose size is nearest to `bytes`. */
export async function fileOfSize(bytes: number): Promise<SourceFile> {
  listed ??= list();
  let best: { file: string; size: number } | undefined;
  for (const each of await listed) {
    if (best === undefined || Math.abs(each.size - bytes) < Math.abs(best.size - bytes)) best = each;
  }
  if (best === undefined) throw new Error(`there are no JavaScript files below ${packages}: run npm ci`);
  return { file: best.file, content: await readFile(best.file, 'utf8') };
}

/**
 * JavaScript and TypeScript files of all packages, every n-th by size, so that `count` files have the sizes that all have;
 * in an order that does not go by size, as a folder's is.
 */
export async function packageFiles(count: number, largest: number): Promise<string[]> {
  const all: { file: string; size: number }[] = [];
  for await (const name of glob('**/*.{js,mjs,cjs,ts,mts,cts}', { cwd: packages })) {
    const file = path.join(packages, name);
    const stats = await lstat(file);
    if (stats.isFile() && stats.size <= largest) all.push({ file, size: stats.size });
  }
  if (all.length < count) throw new Error(`there are only ${all.length} files below ${packages}: run npm ci`);
  all.sort((a, b) => a.size - b.size || a.file.localeCompare(b.file));
  const chosen = Array.from({ length: count }, (_, index) => all[Math.floor((index * all.length) / count)]?.file ?? '');
  return chosen.sort((a, b) => a.localeCompare(b));
}

/** Every n-th file by size, so that `count` files have the sizes that all have. */
export async function mixedFiles(count: number, largest: number): Promise<SourceFile[]> {
  listed ??= list();
  const all = (await listed).filter(({ size }) => size <= largest);
  const chosen = Array.from({ length: count }, (_, index) => all[Math.floor((index * all.length) / count)]);
  return await Promise.all(
    chosen
      .filter((each) => each !== undefined)
      .map(async ({ file }) => ({ file, content: await readFile(file, 'utf8') })),
  );
}

/** The folder of Python's standard library. */
export async function pythonFiles(): Promise<string> {
  const { stdout } = await promisify(execFile)(python, ['-c', 'import os; print(os.path.dirname(os.__file__))']);
  return stdout.trim();
}

/** The module of Python's standard library whose size is nearest to `bytes`. */
export async function pythonFileOfSize(bytes: number): Promise<string> {
  const folder = await pythonFiles();
  const names = (await readdir(folder)).filter((name) => name.endsWith('.py')).sort();
  const sized = await Promise.all(
    names.map(async (name) => {
      const file = path.join(folder, name);
      return { file, distance: Math.abs((await stat(file)).size - bytes) };
    }),
  );
  return sized.reduce((nearest, each) => (each.distance < nearest.distance ? each : nearest)).file;
}
