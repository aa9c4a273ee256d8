// The library's runtime, like Babelfish's: a root folder with drivers, and containers made for an image and a process. It is
// for programs that run images themselves; for trees, there are Host and Client.
import path from 'node:path';
import { Container } from './container.ts';
import { defaultConfigFactory, type ConfigFactory, type Process } from './process.ts';
import { ContainerRuntime } from '../container/index.ts';
import {
  InstalledDrivers,
  type Driver,
  type Installed,
  type InstallOptions,
} from '../drivers/installed/installed-drivers.ts';
import { defaultRoot } from '../host.ts';
import { ImageStore, makeRoot, parseDigest, type StoreAccess } from '../images/index.ts';
import { silentLogger, type Logger } from '../base/log.ts';

export interface RuntimeOptions {
  /** The folder of the store. `defaultRoot()` where it is not given. */
  readonly root?: string;
  /** The OCI runtime: `runc` (the default), `crun`, or a path. */
  readonly runtime?: string;
  readonly configFactory?: ConfigFactory;
  /** Protections that must be fully in force. */
  readonly require?: readonly string[];
  /** Who may read the store: its owner (the default), or everyone, for other programs. */
  readonly storeAccess?: StoreAccess;
  readonly logger?: Logger;
}

/** Images, drivers and containers at one root folder. Disposing of it ends every container. */
export class Runtime implements AsyncDisposable {
  readonly #store: ImageStore;
  readonly #containers: ContainerRuntime;
  readonly #drivers: InstalledDrivers;
  readonly #configFactory: ConfigFactory;

  private constructor(
    store: ImageStore,
    containers: ContainerRuntime,
    drivers: InstalledDrivers,
    configFactory: ConfigFactory,
  ) {
    this.#store = store;
    this.#containers = containers;
    this.#drivers = drivers;
    this.#configFactory = configFactory;
  }

  /**
   * Opens the root folder, making it where it is not there, and gets ready to start containers.
   * @throws BabelhostError `runtimeMissing`, `containerFailed`, `storageDirty`, `storageFull`
   */
  static async open(options: RuntimeOptions = {}): Promise<Runtime> {
    const root = path.resolve(options.root ?? defaultRoot());
    const { logger = silentLogger(), configFactory = defaultConfigFactory } = options;
    await makeRoot(root);
    const containers = await ContainerRuntime.open({
      directory: path.join(root, 'containers'),
      logger,
      ...(options.runtime !== undefined && { runtime: options.runtime }),
      ...(options.require !== undefined && { require: options.require }),
    });
    const store = await ImageStore.open(root, {
      logger,
      owners: containers.owners,
      ...(options.storeAccess !== undefined && { access: options.storeAccess }),
    });
    return new Runtime(store, containers, new InstalledDrivers(root, store, logger), configFactory);
  }

  /** The images of the root folder. */
  get images(): ImageStore {
    return this.#store;
  }

  /**
   * Installs a driver image from a reference such as `docker://registry/name:tag` or `oci:DIR:TAG`.
   * @throws BabelhostError what `driver/install` answers with
   */
  async installDriver(reference: string, options: InstallOptions = {}): Promise<Installed> {
    return await this.#drivers.install(reference, options);
  }

  /** @throws BabelhostError `storageDirty` */
  async listDrivers(): Promise<Driver[]> {
    return await this.#drivers.list();
  }

  /** @throws BabelhostError `driverNotInstalled` */
  async removeDriver(language: string): Promise<void> {
    await this.#drivers.remove(language);
  }

  /**
   * Makes a container for an image of the store and a process. Nothing runs yet, and nothing of it is on the machine.
   * @param image a name, a digest, or the start of a digest
   * @throws BabelhostError `imageNotFound`; what the configuration factory throws
   */
  async container(image: string, process: Process = {}): Promise<Container> {
    const { digest, config } = await this.#store.inspect(image);
    const store = this.#store;
    return new Container(
      this.#containers,
      () => store.lease(parseDigest(digest)),
      this.#configFactory(config, process),
      process,
    );
  }

  /** Ends every container and lets the root folder go. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#containers[Symbol.asyncDispose]();
    await this.#store[Symbol.asyncDispose]();
  }
}
