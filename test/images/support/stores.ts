// Stores for tests, and what a store should look like when nobody is at it.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { ImageStore, type ImageStoreOptions } from '../../../src/images/index.ts';

/** Everybody's own: the tests look at owners where they are about owners. */
export const own: ImageStoreOptions = { owners: { kind: 'single' } };

/** All there is in a folder, by path, sorted; links are not followed (as readdir's own recursion would). */
export async function filesIn(folder: string, prefix = ''): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(path.join(folder, prefix), { withFileTypes: true })) {
    const name = path.join(prefix, entry.name);
    names.push(name);
    if (entry.isDirectory()) names.push(...(await filesIn(folder, name)));
  }
  return names.sort();
}

/** What lies in a store that its index does not account for. */
export async function leftovers(root: string): Promise<string[]> {
  const wanted = new Set([
    'oci-layout',
    'index.json',
    'lock',
    'blobs',
    'blobs/sha256',
    'rootfs',
    'layers',
    'leases',
    'sessions',
    'tmp',
  ]);
  const json = async (file: string) => JSON.parse(await readFile(path.join(root, file), 'utf8')) as Document;
  const blob = (digest: string) => `blobs/sha256/${digest.slice(7)}`;
  for (const { digest } of (await json('index.json')).manifests ?? []) {
    const manifest = await json(blob(digest));
    wanted.add(blob(digest)).add(`rootfs/${digest.slice(7)}`);
    for (const part of [...(manifest.layers ?? []), ...(manifest.config === undefined ? [] : [manifest.config])]) {
      wanted.add(blob(part.digest));
    }
    const config = manifest.config === undefined ? undefined : await json(blob(manifest.config.digest));
    for (const diffId of config?.rootfs?.diff_ids ?? []) wanted.add(`layers/${diffId.slice(7)}`);
  }
  const found: string[] = [];
  for (const top of await readdir(root)) {
    found.push(top);
    if (['rootfs', 'layers', 'leases', 'sessions', 'tmp'].includes(top)) {
      for (const name of await readdir(path.join(root, top))) found.push(`${top}/${name}`);
    } else if (top === 'blobs') {
      for (const name of await readdir(path.join(root, top), { recursive: true })) found.push(`${top}/${name}`);
    }
  }
  return found.filter((name) => !wanted.has(name)).sort();
}

interface Document {
  readonly manifests?: { readonly digest: string }[];
  readonly layers?: { readonly digest: string }[];
  readonly config?: { readonly digest: string };
  readonly rootfs?: { readonly diff_ids?: string[] };
}

/** Opens a store of its own for one test. */
export async function openStore(folder: string, options: ImageStoreOptions = {}): Promise<ImageStore> {
  return await ImageStore.open(path.join(folder, 'store'), { ...own, ...options });
}
