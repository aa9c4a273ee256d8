// Driver images for tests: those of the catalogue, built once for a whole run, and small ones whose driver is a shell
// script that behaves as a test wants.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ImageStore, type LayoutReference } from '../../src/images/index.ts';

const project = fileURLToPath(new URL('../..', import.meta.url));

export const catalogued = ['python', 'javascript'] as const;

/** Builds the catalogue's images into `folder`, as the layouts that `cataloguedImage` names. */
export async function buildCatalogue(folder: string): Promise<void> {
  await using store = await ImageStore.open(path.join(folder, 'store'));
  for (const name of catalogued) {
    await store.build(path.join(project, 'catalog', name), { output: layout(path.join(folder, name), 'latest') });
  }
}

const layout = (folder: string, tag: string): LayoutReference => ({ transport: 'oci', path: folder, name: tag });

/** The reference of an image that `buildCatalogue` made. */
export function cataloguedImage(folder: string, name: (typeof catalogued)[number]): string {
  return `oci:${path.join(folder, name)}:latest`;
}

export interface ScriptDriver {
  readonly language: string;
  /** A script of busybox's shell, the driver's bin/native. */
  readonly script: string;
  /** More lines of the manifest, or the whole of it where it does not name a language. */
  readonly manifest?: string;
  readonly version?: string;
}

/** Lines of a recipe: a layer with busybox and its shell. */
export const shellLayer = `[[layer]]
[[layer.executables]]
name = "busybox"
to = "/bin/sh"
[[layer.executables]]
name = "busybox"
to = "/bin/busybox"
`;

/** Builds a driver image in `folder` and returns its reference. */
export async function buildScriptDriver(folder: string, driver: ScriptDriver): Promise<string> {
  const { language, script, version = '1' } = driver;
  const recipe = path.join(folder, `recipe-${language}-${version}`);
  await mkdir(recipe, { recursive: true });
  await writeFile(path.join(recipe, 'native'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  await writeFile(
    path.join(recipe, 'manifest.toml'),
    driver.manifest ?? `name = "${language}"\nlanguage = "${language}"\nversion = "${version}"\n`,
  );
  await writeFile(
    path.join(recipe, 'image.toml'),
    `name = "test/${language}:${version}"
compression = "none"
directories = ["/tmp", "/proc", "/dev", "/sys"]
${shellLayer}[[layer]]
[[layer.files]]
from = "native"
to = "/opt/driver/bin/native"
mode = "0755"
[[layer.files]]
from = "manifest.toml"
to = "/opt/driver/etc/manifest.toml"
[config.env]
PATH = "/bin"
`,
  );
  const reference = `oci:${path.join(folder, `image-${language}`)}:${version}`;
  await using store = await ImageStore.open(path.join(folder, 'build-store'));
  await store.build(recipe, { output: layout(path.join(folder, `image-${language}`), version) });
  return reference;
}
