// A driver of the catalogue in a folder, with its files where its image has them: to be run without an image or container.
import { cp, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { python } from './line-process.ts';

const catalog = fileURLToPath(new URL('../catalog/', import.meta.url));
const modules = fileURLToPath(new URL('../node_modules/', import.meta.url));

export interface LaidOutDriver {
  /** The program that its image's entry point runs, and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** The folder of its modules. */
  readonly library: string;
}

/** Lays a driver out below `folder`. */
export async function layOut(language: 'javascript' | 'python', folder: string): Promise<LaidOutDriver> {
  const root = path.join(folder, language);
  const directory = path.join(root, 'opt/driver');
  for (const part of ['bin', 'lib']) {
    await cp(path.join(catalog, language, part), path.join(directory, part), {
      recursive: true,
      filter: (source) => !source.endsWith('__pycache__'),
    });
  }
  await cp(path.join(catalog, language, 'build'), root, { recursive: true });
  const program = path.join(directory, 'bin/native');
  const library = path.join(directory, 'lib');
  if (language === 'python') return { command: [python, '-BIS', program], library };
  const parser = path.join(library, 'node_modules/@babel/parser');
  await mkdir(path.dirname(parser), { recursive: true });
  await cp(path.join(modules, '@babel/parser'), parser, { recursive: true });
  return { command: [process.execPath, program], library };
}
