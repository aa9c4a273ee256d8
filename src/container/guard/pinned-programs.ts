// The native programs as this host found them first. An upgrade or a build replaces their files, by ones that may take
// other arguments or that are missing for a moment; a host that runs goes on with those that it started with.
import { closeSync, openSync } from 'node:fs';
import { requireBootstrap, requireInit } from '../../base/native.ts';

export class PinnedPrograms implements Disposable {
  /** Paths of the open files, whatever has become of their names. */
  readonly bootstrap: string;
  readonly init: string;
  readonly #descriptors: readonly number[];

  private constructor(bootstrap: number, init: number) {
    this.#descriptors = [bootstrap, init];
    this.bootstrap = pathOf(bootstrap);
    this.init = pathOf(init);
  }

  /** @throws BabelhostError `runtimeMissing` */
  static open(): PinnedPrograms {
    const bootstrap = openSync(requireBootstrap(), 'r');
    try {
      return new PinnedPrograms(bootstrap, openSync(requireInit(), 'r'));
    } catch (error) {
      closeSync(bootstrap);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    for (const descriptor of this.#descriptors) closeSync(descriptor);
  }
}

/** Not through /proc/self: a child opens it. */
function pathOf(descriptor: number): string {
  return `/proc/${process.pid}/fd/${descriptor}`;
}
