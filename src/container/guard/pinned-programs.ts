// The native programs as this host found them first. A program that is upgraded or rebuilt has its file replaced, by one
// that may take other arguments or that is not there for a moment; a host that runs goes on with what it started with.
import { closeSync, openSync } from 'node:fs';
import { requireBootstrap, requireInit } from '../../base/native.ts';

export class PinnedPrograms implements Disposable {
  /** Paths that lead to the open files, whatever has become of their names. */
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

/** By the process id and not through /proc/self: it is looked up in a child, whose own descriptors may have been moved. */
function pathOf(descriptor: number): string {
  return `/proc/${process.pid}/fd/${descriptor}`;
}
