// What the methods work on: the parts of a host, wired by src/host.ts.
import type { ContainerRegistry, ContainerRuntime } from '../../container/index.ts';
import type { InstalledDrivers } from '../../drivers/installed/installed-drivers.ts';
import type { DriverLimits } from '../../drivers/limits.ts';
import type { DriverObserver, Tracer } from '../../drivers/observer.ts';
import type { Parser } from '../../drivers/parse/parser.ts';
import type { Pools } from '../../drivers/pool/pools.ts';
import type { ImageStore } from '../../images/index.ts';
import type { Logger, LogRelay } from '../../base/log.ts';

export interface HostServices {
  readonly root: string;
  readonly limits: DriverLimits;
  readonly store: ImageStore;
  readonly runtime: ContainerRuntime;
  readonly containers: ContainerRegistry;
  readonly drivers: InstalledDrivers;
  readonly pools: Pools;
  readonly parser: Parser;
  readonly logger: Logger;
  readonly relay: LogRelay;
  /** The catalogue file that the host was given in place of its own. */
  readonly catalogueFile: string | undefined;
  /** The project's own catalogue file. */
  readonly shippedCatalogue: string;
  /** Work whose clients have been freed and that still cleans up; the store stays open until it is done. */
  readonly unwinding: Set<Promise<void>>;
  /** Where metrics are on. */
  readonly metrics?: DriverObserver;
  /** Where traces are on. */
  readonly tracer?: Tracer;
  /** In milliseconds of performance.now(). */
  readonly startedAt: number;
}
