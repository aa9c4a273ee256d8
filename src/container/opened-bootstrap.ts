// The native bootstrap as this host found it first. A program that is upgraded or rebuilt has its file replaced, by one
// that may take other arguments or that is not there for a moment; a host that runs goes on with what it started with.
import { open, type FileHandle } from 'node:fs/promises';
import { requireBootstrap } from '../native.ts';

export class OpenedBootstrap implements AsyncDisposable {
  /**
   * A path that leads to the open file, whatever has become of its name. By the process id and not through /proc/self:
   * it is looked up in a child, whose own descriptors may have been moved by then.
   */
  readonly path: string;
  readonly #file: FileHandle;

  private constructor(file: FileHandle) {
    this.#file = file;
    this.path = `/proc/${process.pid}/fd/${file.fd}`;
  }

  /** @throws BabelhostError `runtimeMissing` */
  static async open(): Promise<OpenedBootstrap> {
    return new OpenedBootstrap(await open(await requireBootstrap(), 'r'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
