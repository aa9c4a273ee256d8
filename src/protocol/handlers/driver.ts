// The methods that install, list, inspect and remove drivers.
import type { Driver as InstalledDriver } from '../../drivers/installed/installed-drivers.ts';
import { parsePlatform } from '../../images/index.ts';
import type { Driver } from '../methods.ts';
import { transferProgress, untilCancelled, type Handlers } from './handler.ts';

type DriverMethod = `driver/${'install' | 'catalogue' | 'list' | 'inspect' | 'remove'}` | 'host/languages';

export const driverHandlers: Handlers<DriverMethod> = {
  'driver/install': async (params, context, services) => {
    const { reference = '', recipe, language, update, platform, credentials, limits } = params;
    const { signal, progress, span } = context;
    const { drivers, store, pools, metrics } = services;
    progress.begin(`Installing ${recipe ?? reference}`);
    const options = {
      signal,
      onProgress: transferProgress(progress),
      ...(language !== undefined && { language }),
      ...(update !== undefined && { update }),
      ...(limits !== undefined && { limits }),
      ...(platform !== undefined && { platform: parsePlatform(platform) }),
      ...(credentials !== undefined && { credentials }),
    };
    return await untilCancelled(context, services, async () => {
      const installed =
        recipe === undefined
          ? await drivers.install(reference, options)
          : await (
              await import('../../drivers/installed/recipe-install.ts')
            ).installRecipe(store, drivers, recipe, options);
      const { driver, unchanged, replaced } = installed;
      // Instances with the limits that it had before go when they have nothing to do.
      if (unchanged && limits !== undefined) pools.retire(driver.language);
      if (replaced !== undefined || limits !== undefined) pools.replaced(driver);
      span?.annotate({ 'babelhost.language': driver.language, 'babelhost.image': driver.digest });
      metrics?.installed(driver.language, driver.digest);
      return { driver: wireDriver(driver), unchanged, ...(replaced !== undefined && { replaced }) };
    });
  },

  'driver/catalogue': async ({ file, select }, _context, { root, catalogueFile, shippedCatalogue }) => {
    const { readCatalogue, selectDrivers } = await import('../../drivers/installed/catalogue.ts');
    const named = file ?? catalogueFile;
    const found = await readCatalogue({ named, root, shipped: shippedCatalogue });
    return {
      file: found.file,
      drivers: selectDrivers(found, select).map(({ source, ...entry }) => ({ ...entry, ...source })),
    };
  },

  'driver/list': async (_params, _context, { drivers }) => ({ drivers: (await drivers.list()).map(wireDriver) }),

  'driver/inspect': async ({ language }, _context, { drivers }) => wireDriver(await drivers.find(language)),

  'driver/remove': async ({ language }, _context, { drivers, pools, metrics }) => {
    const removed = await drivers.remove(language);
    for (const digest of removed) metrics?.removed(language.toLowerCase(), digest);
    for (const pool of pools.all) if (removed.some((digest) => digest === pool.digest)) pools.retire(pool.language);
    return { removed };
  },

  'host/languages': async (_params, _context, { drivers }) => ({
    languages: (await drivers.list()).map((driver) => wireManifest(driver)),
  }),
};

function wireManifest({ manifest }: InstalledDriver): Driver['manifest'] {
  return { ...manifest, aliases: [...manifest.aliases], features: [...manifest.features] };
}

function wireDriver(driver: InstalledDriver): Driver {
  return { ...driver, manifest: wireManifest(driver) };
}
