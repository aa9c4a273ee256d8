// Installs a driver from a recipe folder: builds the image into the store, and installs it from there. The store is an OCI
// layout itself, so nothing of the image is copied or unpacked twice.
import type { ImageStore } from '../../images/index.ts';
import type { InstalledDrivers, Installed, InstallOptions } from './installed-drivers.ts';

/**
 * Builds the recipe in `folder` and installs the driver. Where the image is refused as a driver, it stays in the store.
 * @throws BabelhostError what ImageStore.build and InstalledDrivers.install throw
 */
export async function installRecipe(
  store: ImageStore,
  drivers: InstalledDrivers,
  folder: string,
  options: InstallOptions,
): Promise<Installed> {
  const { language, update, platform, signal, onProgress } = options;
  // Before the build, which takes seconds.
  if (language !== undefined && update !== true) await drivers.requireFree(language);
  const build = { platform, signal, onProgress };
  let { names } = await store.build(folder, build);
  if (names.length === 0) {
    // Building is reproducible: the second build gives the first one's image its name.
    ({ names } = await store.build(folder, { ...build, name: `babelhost/${language ?? 'unnamed'}-driver:built` }));
  }
  const [name] = names;
  if (name === undefined) throw new Error(`the image that was built from ${folder} has no name`);
  return await drivers.install({ transport: 'oci', path: store.root, name }, options);
}
