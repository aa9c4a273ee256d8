// Leases keep an unpacked image in place while it is used, against other processes too. A lease is a file
// `<manifest digest>.<session>`, which counts while its session lives.
//
// For an image of the index no lock is needed: taking a lease makes the file, then looks whether the image is still there;
// removing an image writes the index, then looks for leases. Whichever comes first, one of the two sees the other. For
// what no image of the index has, see StoreCore.hold.
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { hexOf, type Digest } from '../digest.ts';
import { namesIn, type StoreLayout } from './layout.ts';
import type { Session } from './session.ts';

/** The leases of one store object: one file for each image, however many uses it has. */
export class Leases {
  readonly #layout: StoreLayout;
  readonly #session: Session;
  readonly #held = new Map<Digest, { count: number; made: Promise<void> }>();
  /** Removals in progress, which taking the lease again waits for: the new file would be removed too. */
  readonly #removals = new Map<Digest, Promise<void>>();

  constructor(layout: StoreLayout, session: Session) {
    this.#layout = layout;
    this.#session = session;
  }

  /** Takes a lease. The caller looks afterwards whether the image is still there. */
  async take(digest: Digest): Promise<void> {
    const held = this.#held.get(digest) ?? { count: 0, made: this.#make(digest) };
    held.count += 1;
    this.#held.set(digest, held);
    try {
      await held.made;
    } catch (error) {
      if (this.#held.get(digest) === held) this.#held.delete(digest);
      throw error;
    }
  }

  async #make(digest: Digest): Promise<void> {
    await this.#session.start();
    await this.#removals.get(digest);
    await writeFile(this.#file(digest), '', { mode: 0o600 });
  }

  /** Gives one lease back; true if it was the last that any process held on the image. */
  async release(digest: Digest): Promise<boolean> {
    const held = this.#held.get(digest);
    if (held === undefined) return false;
    held.count -= 1;
    if (held.count > 0) return false;
    this.#held.delete(digest);
    const removal = rm(this.#file(digest), { force: true });
    this.#removals.set(digest, removal);
    try {
      await removal;
    } finally {
      this.#removals.delete(digest);
    }
    // Taken again meanwhile.
    if (this.#held.has(digest)) return false;
    return !(await namesIn(this.#layout.leases)).some((name) => name.startsWith(hexOf(digest)));
  }

  #file(digest: Digest): string {
    return path.join(this.#layout.leases, `${hexOf(digest)}.${this.#session.id}`);
  }
}
