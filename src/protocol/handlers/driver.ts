// The methods that install, list, inspect and remove drivers.
import { given } from '../../base/given.ts';
import type { driverMethods } from '../methods/driver.ts';
import { transferOptions, untilCancelled, type Handlers } from './handler.ts';

export const driverHandlers: Handlers<keyof typeof driverMethods> = {
  'driver/install': async (params, context, services) => {
    const { reference = '', recipe, language, update, limits } = params;
    const { drivers, store, pools, metrics } = services;
    context.progress.begin(`Installing ${recipe ?? reference}`);
    const options = { ...transferOptions(context, params), ...given({ language, update, limits }) };
    return await untilCancelled(context, services, async () => {
      const installed =
        recipe === undefined
          ? await drivers.install(reference, options)
          : await (
              await import('../../drivers/installed/recipe-install.ts')
            ).installRecipe(store, drivers, recipe, options);
      const { driver, unchanged, replaced } = installed;
      // Instances with the old limits go when they have nothing to do.
      if (unchanged && limits !== undefined) pools.retire(driver.language);
      if (replaced !== undefined || limits !== undefined) pools.replaced(driver);
      context.span?.annotate({ 'babelhost.language': driver.language, 'babelhost.image': driver.digest });
      metrics?.installed(driver.language, driver.digest);
      return { driver, unchanged, ...given({ replaced }) };
    });
  },

  'driver/catalogue': async ({ file, select }, _context, { root, catalogueFile, shippedCatalogue }) => {
    const { readCatalogue, selectDrivers } = await import('../../drivers/installed/catalogue.ts');
    const found = await readCatalogue({ named: file ?? catalogueFile, root, shipped: shippedCatalogue });
    return {
      file: found.file,
      drivers: selectDrivers(found, select).map(({ source, ...entry }) => ({ ...entry, ...source })),
    };
  },

  'driver/list': async (_params, _context, { drivers }) => ({ drivers: await drivers.list() }),

  'driver/inspect': async ({ language }, _context, { drivers }) => await drivers.find(language),

  'driver/remove': async ({ language }, _context, { drivers, pools, metrics }) => {
    const removed = await drivers.remove(language);
    for (const digest of removed) metrics?.removed(language.toLowerCase(), digest);
    for (const pool of pools.all) if (removed.some((digest) => digest === pool.digest)) pools.retire(pool.language);
    return { removed };
  },
};
