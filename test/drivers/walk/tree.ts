// Trees of files to walk, and what a walk finds there. Names are bytes written as Latin-1.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { uriOfPath } from '../../../src/base/byte-paths.ts';
import type { WalkWarning } from '../../../src/drivers/walk/rule-files.ts';
import { walk, type WalkRequest } from '../../../src/drivers/walk/walk.ts';

/** A tree of files without content. */
export function files(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, '']));
}

export async function writeTree(folder: string, tree: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, content] of Object.entries(tree)) {
    const file = Buffer.from(path.posix.join(folder, name), 'latin1');
    await mkdir(Buffer.from(path.posix.dirname(path.posix.join(folder, name)), 'latin1'), { recursive: true });
    await writeFile(file, content, 'latin1');
  }
}

export interface Walked {
  /** Below the folder, sorted. */
  readonly paths: string[];
  readonly warnings: WalkWarning[];
  readonly ignored: number;
}

/** Walks a folder to its end. */
export async function walked(
  folder: string | Buffer,
  options: Omit<WalkRequest, 'root' | 'folder'> = {},
  signal?: AbortSignal,
): Promise<Walked> {
  const top = Buffer.from(folder);
  const paths: string[] = [];
  const warnings: WalkWarning[] = [];
  let ignored = 0;
  const onWarning = (warning: WalkWarning): void => void warnings.push(warning);
  const onIgnored = (): void => void (ignored += 1);
  for await (const file of walk({ root: uriOfPath(top), folder: top, ...options }, { signal, onWarning, onIgnored })) {
    paths.push(file.subarray(top.length + 1).toString('latin1'));
  }
  return { paths: paths.sort(), warnings, ignored };
}
