// Boots a driver's container for its pool: the image's root, leased for as long as it runs, and the driver's limits.
import type { ContainerId, ContainerRuntime, Limits } from './container/index.ts';
import type { Driver } from './drivers/installed/installed-drivers.ts';
import type { DriverProcess } from './drivers/process/driver-process.ts';
import { layout } from './drivers/installed/manifest.ts';
import { environmentOf, type ImageConfig, type ImageStore, type Lease } from './images/index.ts';
import type { Logger } from './base/log.ts';

export interface DriverBoot {
  readonly store: ImageStore;
  readonly runtime: ContainerRuntime;
  readonly driver: Driver;
  readonly limits: Limits;
  readonly logger: Logger;
  /** Of its container. */
  readonly id: ContainerId;
}

/** Boots a driver. Its image stays leased while it runs, so that an update cannot take its files away. */
export async function bootDriver(
  { store, runtime, driver, limits, logger, id }: DriverBoot,
  signal: AbortSignal,
): Promise<DriverProcess> {
  const lease = await store.lease(driver.digest);
  try {
    const container = await runtime.boot(
      { id, rootfs: lease.rootfs, process: driverProcess(lease.config), limits },
      signal,
    );
    void container.exited.then(() => releaseLease(lease, logger));
    return container;
  } catch (error) {
    await releaseLease(lease, logger);
    throw error;
  }
}

/**
 * Ends a lease, which also removes what was removed from the store meanwhile. A damaged or missing store is no reason to
 * stop answering from the drivers that run.
 */
async function releaseLease(lease: Lease, logger: Logger): Promise<void> {
  try {
    await lease.release();
  } catch (error) {
    logger.warn({ err: error, image: lease.digest }, 'an image could not be given back to the store');
  }
}

/** The process that a driver's container runs. */
export function driverProcess(config: ImageConfig) {
  return {
    args: [layout.native],
    env: environmentOf(config),
    cwd: config.workingDirectory === '' ? '/' : config.workingDirectory,
    user: config.user,
  };
}
