// The native bootstrap as this host found it first. A program that is upgraded or rebuilt has its file replaced, by one
// that may take other arguments or that is not there for a moment; a host that runs goes on with what it started with.
import { closeSync, openSync } from 'node:fs';
import { requireBootstrap } from '../../base/native.ts';

export class PinnedBootstrap implements Disposable {
  /**
   * A path that leads to the open file, whatever has become of its name. By the process id and not through /proc/self:
   * it is looked up in a child, whose own descriptors may have been moved by then.
   */
  readonly path: string;
  readonly #descriptor: number;

  private constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.path = `/proc/${process.pid}/fd/${descriptor}`;
  }

  /** @throws BabelhostError `runtimeMissing` */
  static open(): PinnedBootstrap {
    return new PinnedBootstrap(openSync(requireBootstrap(), 'r'));
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }
}
