// The installed drivers: which image serves which language. They are entries of the image store's index with the language
// as an annotation: one rename of the index installs, updates or removes.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { BabelhostError, systemErrorCode } from '../../base/errors.ts';
import {
  formatReference,
  parseReference,
  type Digest,
  type ImageStore,
  type Credentials,
  type Platform,
  type Progress,
  type Reference,
} from '../../images/index.ts';
import type { Logger } from '../../base/log.ts';
import { languageNames } from '../parse/detection.ts';
import { annotations, describeDriver, readManifest, requireNative, type Driver } from './driver-image.ts';
import { readDriversFile, writeDriversFile } from './drivers-file.ts';
import type { Manifest } from './manifest.ts';
import type { RunLimitsTable } from './run-limits.ts';

export type { Driver } from './driver-image.ts';

export interface InstallOptions {
  /** Refuse the image unless it serves this language. */
  readonly language?: string;
  /** Replace what is installed for the language. */
  readonly update?: boolean;
  /** Limits of its containers; an update without them keeps those of the driver that it replaces. */
  readonly limits?: RunLimitsTable;
  readonly platform?: Platform;
  /** For a registry, in place of those that this machine has. Never logged or stored. */
  readonly credentials?: Credentials;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Installed {
  readonly driver: Driver;
  readonly replaced?: Digest;
  readonly unchanged: boolean;
}

interface Snapshot {
  /** Of the index when this was read: another process may have replaced that since. */
  readonly stamp: string;
  /** When the index last had that stamp. */
  checkedAt: number;
  readonly byLanguage: ReadonlyMap<string, readonly Driver[]>;
}

/** The index is looked at again after this time, in milliseconds: then installs of other processes show. */
const freshMs = 250;

export class InstalledDrivers {
  readonly #root: string;
  readonly #store: ImageStore;
  readonly #logger: Logger;
  #snapshot: Promise<Snapshot> | undefined;

  constructor(root: string, store: ImageStore, logger: Logger) {
    this.#root = root;
    this.#store = store;
    this.#logger = logger;
  }

  /**
   * All installed drivers, by language.
   * @throws BabelhostError `storageDirty` where a language has more than one image
   */
  async list(): Promise<Driver[]> {
    const { byLanguage } = await this.#current();
    return [...byLanguage.entries()].sort(([a], [b]) => a.localeCompare(b)).map(([, drivers]) => only(drivers));
  }

  /**
   * The driver for a language: by its own name, an alias of its manifest, or an alias that Linguist knows.
   * @throws BabelhostError `driverNotInstalled`, `storageDirty`
   */
  async find(name: string): Promise<Driver> {
    const driver = await this.lookUp([name]);
    if (driver !== undefined) return driver;
    const other = await this.lookUp(await languageNames(name));
    if (other !== undefined) return other;
    throw notInstalled(name);
  }

  /** The driver for the first of `names` that has one, by language or alias of a manifest. */
  async lookUp(names: readonly string[]): Promise<Driver | undefined> {
    const { byLanguage } = await this.#current();
    for (const name of names) {
      const wanted = name.toLowerCase();
      const exact = byLanguage.get(wanted);
      if (exact !== undefined) return only(exact);
      for (const drivers of byLanguage.values()) {
        if (drivers.some((driver) => driver.manifest.aliases.includes(wanted))) return only(drivers);
      }
    }
    return undefined;
  }

  /**
   * Installs a driver image. One image serves a language: another takes its place only with `update`.
   * @throws BabelhostError `driverAlreadyInstalled`, `driverMalformed`, `storageDirty`, and what ImageStore.install throws
   */
  async install(reference: string | Reference, options: InstallOptions = {}): Promise<Installed> {
    const parsed = typeof reference === 'string' ? parseReference(reference) : reference;
    const { language: wanted, update = false, limits: given, ...transfer } = options;
    let replaced: Digest | undefined;
    let unchanged = false;
    let manifest: Manifest | undefined;
    const image = await this.#store.install(parsed, {
      ...transfer,
      accept: async (candidate, current) => {
        manifest = await readManifest((file, limitBytes) => candidate.read(file, limitBytes));
        const { language } = manifest;
        await requireNative(candidate);
        if (wanted !== undefined && !serves(manifest, wanted)) {
          throw new BabelhostError(
            'driverMalformed',
            `The image is a driver for ${language}, not for ${wanted}; leave the language out to install it as what it is.`,
            { language: wanted, found: language },
          );
        }
        const installed = current.filter((entry) => entry.annotations[annotations.language] === language);
        if (installed.length > 1) throw dirty(language, installed);
        const [existing] = installed;
        if (existing !== undefined && !update) {
          throw alreadyInstalled(language, existing.digest, existing.annotations[annotations.reference]);
        }
        unchanged = existing?.digest === candidate.digest;
        if (existing !== undefined && !unchanged) replaced = existing.digest;
        const limits = given === undefined ? existing?.annotations[annotations.limits] : JSON.stringify(given);
        return {
          annotations: {
            ...(limits !== undefined && { [annotations.limits]: limits }),
            [annotations.language]: language,
            [annotations.reference]: formatReference(parsed),
            [annotations.installed]: new Date().toISOString(),
          },
          replaces: existing === undefined ? [] : [existing.digest],
        };
      },
    });
    this.#forget();
    const driver = await describeDriver(this.#store, image, manifest);
    await this.#writeFile();
    this.#logger.info({ language: driver.language, digest: driver.digest, replaced }, 'driver installed');
    return { driver, unchanged, ...(replaced !== undefined && { replaced }) };
  }

  /**
   * Checks that a language has no driver yet.
   * @throws BabelhostError `driverAlreadyInstalled`, `storageDirty`
   */
  async requireFree(language: string): Promise<void> {
    const driver = await this.lookUp([language]);
    if (driver !== undefined) throw alreadyInstalled(driver.language, driver.digest, driver.reference);
  }

  /** The languages that an image is the installed driver for: one at most, unless the store is dirty. */
  async servedBy(digest: Digest): Promise<string[]> {
    const { byLanguage } = await this.#current();
    return [...byLanguage].flatMap(([language, drivers]) =>
      drivers.some((driver) => driver.digest === digest) ? [language] : [],
    );
  }

  /**
   * Removes the driver of a language; where there are several images for it, all of them.
   * @throws BabelhostError `driverNotInstalled`
   */
  async remove(name: string): Promise<Digest[]> {
    const { byLanguage } = await this.#current();
    const wanted = name.toLowerCase();
    const drivers =
      byLanguage.get(wanted) ??
      [...byLanguage.values()].find((all) => all.some((driver) => driver.manifest.aliases.includes(wanted)));
    if (drivers === undefined) throw notInstalled(name);
    const digests = drivers.map((driver) => driver.digest);
    await this.removeImages(digests);
    return digests;
  }

  /**
   * Removes images, whether drivers or not.
   * @throws BabelhostError `imageNotFound`
   */
  async removeImages(digests: readonly Digest[]): Promise<void> {
    await this.#store.remove(digests);
    this.#forget();
    await this.#writeFile();
    this.#logger.info({ digests }, 'images removed');
  }

  /**
   * The driver that has replaced another one, as in another process's update; undefined where that one is still installed.
   * @throws BabelhostError `driverNotInstalled`, `storageDirty`
   */
  async replacementOf({ language, digest }: Driver): Promise<Driver | undefined> {
    this.#forget();
    const driver = await this.find(language);
    return driver.digest === digest ? undefined : driver;
  }

  async #writeFile(): Promise<void> {
    const { byLanguage } = await this.#current();
    await writeDriversFile(this.#root, byLanguage, this.#store.fileMode);
  }

  #forget(): void {
    this.#snapshot = undefined;
  }

  async #current(): Promise<Snapshot> {
    const held = this.#snapshot;
    if (held !== undefined) {
      const snapshot = await held;
      const now = performance.now();
      if (now - snapshot.checkedAt < freshMs) return snapshot;
      if ((await this.#stamp()) === snapshot.stamp) {
        snapshot.checkedAt = now;
        return snapshot;
      }
      if (this.#snapshot === held) this.#snapshot = undefined;
    }
    this.#snapshot ??= this.#read().catch((error: unknown) => {
      this.#snapshot = undefined;
      throw error;
    });
    return await this.#snapshot;
  }

  async #read(): Promise<Snapshot> {
    // The stamp first: a change that comes while the list is read shows at the next check.
    const stamp = await this.#stamp();
    const known = readDriversFile(this.#root, this.#logger);
    const images = await this.#store.list();
    const byLanguage = new Map<string, Driver[]>();
    for (const image of images) {
      const language = image.annotations[annotations.language];
      if (language === undefined) continue;
      const driver = await describeDriver(this.#store, image, known.get(image.digest));
      byLanguage.set(language, [...(byLanguage.get(language) ?? []), driver]);
    }
    return { stamp, checkedAt: performance.now(), byLanguage };
  }

  /**
   * Changes when the index does: it is only ever replaced by rename, so its inode changes with it. Empty where there is no
   * index: the store says what is wrong with that when it is read.
   */
  async #stamp(): Promise<string> {
    try {
      const { ino, mtimeNs, size } = await stat(path.join(this.#root, 'index.json'), { bigint: true });
      return `${ino} ${mtimeNs} ${size}`;
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return '';
      throw error;
    }
  }
}

function serves(manifest: Manifest, language: string): boolean {
  const wanted = language.toLowerCase();
  return manifest.language === wanted || manifest.aliases.includes(wanted);
}

function only(drivers: readonly Driver[]): Driver {
  const [driver, another] = drivers;
  if (driver === undefined) throw new Error('a language without drivers is in the index');
  if (another !== undefined) throw dirty(driver.language, drivers);
  return driver;
}

/** More than one image serves a language. */
function dirty(language: string, images: readonly { readonly digest: string }[]): BabelhostError {
  return new BabelhostError(
    'storageDirty',
    `The store holds ${images.length} driver images for ${language}, where there must be one; remove them (babelhost driver remove ${language}) and install the one you want.`,
    { language, digests: images.map((image) => image.digest) },
  );
}

function alreadyInstalled(language: string, digest: Digest, reference: string | undefined): BabelhostError {
  return new BabelhostError(
    'driverAlreadyInstalled',
    `A driver for ${language} is installed already; give update (--update) to put this one in its place.`,
    { language, digest, reference },
  );
}

function notInstalled(name: string): BabelhostError {
  return new BabelhostError(
    'driverNotInstalled',
    `No driver for ${name} is installed; install one with 'babelhost driver install REFERENCE' ('babelhost driver list' shows what there is).`,
    { language: name },
  );
}
