// Real sources to measure with: files of npm packages that the project depends on for development.
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { glob } from 'node:fs/promises';

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
