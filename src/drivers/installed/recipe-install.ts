// Installs a driver from a recipe folder: builds the image into the store, and takes it from there. The store is an OCI
// layout itself, so nothing of the image is copied or unpacked twice.
import type { ImageStore, LayoutReference, Platform, Progress } from '../../images/index.ts';
import type { InstalledDrivers, Installed, InstallOptions } from './installed-drivers.ts';

/** The name of an image whose recipe has none. */
const nameFor = (language: string | undefined): string => `babelhost/${language ?? 'unnamed'}-driver:built`;

/**
 * Builds the recipe in `folder` and installs the driver. Where the image is refused as a driver, it stays in the store
 * as an image, as `image build` leaves it.
 * @throws BabelhostError what ImageStore.build and DriverCatalogue.install throw
 */
export async function installRecipe(
  store: ImageStore,
  drivers: InstalledDrivers,
  folder: string,
  options: InstallOptions,
): Promise<Installed> {
  const { language, update, platform, signal, onProgress } = options;
  // Refused before it is built, where it can be known: a build takes seconds.
  if (language !== undefined && update !== true) await drivers.requireFree(language);
  const reference = await buildNamed(store, folder, language, { platform, signal, onProgress });
  return await drivers.install(reference, options);
}

interface BuildOptions {
  readonly platform: Platform | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: Progress) => void) | undefined;
}

/** Builds a recipe, and tells under which name it is in the store. */
async function buildNamed(
  store: ImageStore,
  folder: string,
  language: string | undefined,
  options: BuildOptions,
): Promise<LayoutReference> {
  const image = await store.build(folder, options);
  // Building is reproducible: the second build gives the first one's image its name.
  const { names } = image.names.length > 0 ? image : await store.build(folder, { ...options, name: nameFor(language) });
  const [name] = names;
  if (name === undefined) throw new Error(`the image that was built of ${folder} has no name`);
  return { transport: 'oci', path: store.root, name };
}
