// drivers.json in the root: the installed drivers with their manifests, which a start would else read from the images. It is
// derived from the store's index, and may be missing or old.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { lazy } from '../../base/lazy.ts';
import { systemErrorCode } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Driver } from './driver-image.ts';
import { keptManifest, type Manifest } from './manifest.ts';

const schema = lazy(() =>
  z.object({ drivers: z.record(z.string(), z.looseObject({ digest: z.string(), manifest: keptManifest() })) }),
);

const pathIn = (root: string): string => path.join(root, 'drivers.json');

/** The manifests in it, by image digest; none where it cannot be read. */
export function readDriversFile(root: string, logger: Logger): Map<string, Manifest> {
  try {
    const { drivers } = schema().parse(JSON.parse(readFileSync(pathIn(root), 'utf8')));
    return new Map(Object.values(drivers).map(({ digest, manifest }) => [digest, manifest]));
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') {
      logger.warn({ err: error }, 'drivers.json could not be read; the manifests are read from the images');
    }
    return new Map();
  }
}

/** Replaces it by rename. */
export async function writeDriversFile(
  root: string,
  byLanguage: ReadonlyMap<string, readonly Driver[]>,
  mode: number,
): Promise<void> {
  const drivers = Object.fromEntries(
    [...byLanguage].map(([language, [driver]]) => [
      language,
      { reference: driver?.reference, digest: driver?.digest, manifest: driver?.manifest },
    ]),
  );
  const temporary = path.join(root, 'tmp', `drivers-${randomUUID()}.json`);
  await writeFile(temporary, `${JSON.stringify({ drivers }, undefined, 2)}\n`, { mode, flush: true });
  await rename(temporary, pathIn(root));
}
