// Drivers without a host, as one would run them who has none: the containers are those that a host boots, made by
// `runc run` of the same bundle, and their pipes are read with what Node has for a child's. A host's own containers would
// come with its own way of reading them.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pid } from 'node:process';
import { driverProcess } from '../src/boot-driver.ts';
import { ContainerRuntime } from '../src/container/index.ts';
import { ImageStore, type ImageConfig } from '../src/images/index.ts';
import { DriverClient } from './line-client.ts';
import { plainBundle } from './plain-bundle.ts';

export interface DirectDriver extends AsyncDisposable {
  readonly client: DriverClient;
}

/** Starts a program that answers as a driver does. */
export function startDriver([command, ...parameters]: readonly [string, ...string[]]): DirectDriver {
  const child = spawn(command, parameters, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exit = once(child, 'exit');
  return {
    client: new DriverClient(child.stdout, child.stdin),
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await exit;
    },
  };
}

export class DirectDrivers implements AsyncDisposable {
  readonly #bundle: string;
  readonly #drivers: DirectDriver[] = [];
  static #made = 0;

  private constructor(bundle: string) {
    this.#bundle = bundle;
  }

  /** Makes the bundle of a language's driver, of its image in a root. */
  static async open(root: string, language: string): Promise<DirectDrivers> {
    const { rootfs, config } = await unpackedImage(root, language);
    // The container's root is nobody on this machine, and has to reach the image's files.
    await chmod(path.dirname(root), 0o711);
    const bundle = await mkdtemp(path.join(tmpdir(), 'babelhost-bench-'));
    const content = plainBundle({ process: driverProcess(config), rootfs, withoutLimits: false });
    await writeFile(path.join(bundle, 'config.json'), JSON.stringify(content));
    return new DirectDrivers(bundle);
  }

  /**
   * Starts another driver. It ends with the others, if not before.
   * @param runtime a command line that runs runc with the arguments that follow
   */
  start(runtime: readonly [string, ...string[]] = ['runc']): DirectDriver {
    DirectDrivers.#made += 1;
    const id = `babelhost-bench-${pid}-${DirectDrivers.#made}`;
    const driver = startDriver([...runtime, 'run', '--bundle', this.#bundle, id]);
    this.#drivers.push(driver);
    return driver;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#drivers.map((driver) => driver[Symbol.asyncDispose]()));
    await rm(this.#bundle, { recursive: true });
  }
}

/** Where a root has a driver's image unpacked, and its configuration. */
async function unpackedImage(root: string, language: string): Promise<{ rootfs: string; config: ImageConfig }> {
  await using runtime = await ContainerRuntime.open({ directory: path.join(root, 'containers') });
  await using store = await ImageStore.open(root, { owners: runtime.owners, access: 'everyone' });
  const images = await store.list();
  const image = images.find(({ annotations }) => annotations['io.babelhost.driver.language'] === language);
  if (image === undefined) throw new Error(`no ${language} driver is installed`);
  await using lease = await store.lease(image.digest);
  return { rootfs: lease.rootfs, config: lease.config };
}
