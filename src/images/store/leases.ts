// Leases keep an unpacked image in place while something runs on it, against other processes too. A lease is a file
// `<manifest digest>.<session>`: it counts while its session lives.
//
// No lock is needed for an image of the index: who takes a lease first makes the file and then looks whether the image is
// still there; who removes an image first writes the index and then looks for leases. Whichever comes first, one of both
// sees the other. What no image of the index has may be on its way out, by one who looked before: StoreCore.hold sees to it.
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { hexOf, type Digest } from '../digest.ts';
import type { StoreLayout } from './layout.ts';
import { namesIn, type Session } from './session.ts';

/** The leases of one store object: one file for each image, however many users it has here. */
export class Leases {
  readonly #layout: StoreLayout;
  readonly #session: Session;
  readonly #held = new Map<Digest, { count: number; made: Promise<void> }>();
  /** Files on their way out. One that is made anew meanwhile would go with them, and its holder not know. */
  readonly #removals = new Map<Digest, Promise<void>>();

  constructor(layout: StoreLayout, session: Session) {
    this.#layout = layout;
    this.#session = session;
  }

  /** Takes a lease. Whether the image is (still) there is to be looked up afterwards. */
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
    const handle = await open(this.#file(digest), 'w', 0o600);
    await handle.close();
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
    // Taken again meanwhile: then it is wanted after all.
    if (this.#held.has(digest)) return false;
    return !namesIn(this.#layout.leases).some((name) => name.startsWith(hexOf(digest)));
  }

  #file(digest: Digest): string {
    return path.join(this.#layout.leases, `${hexOf(digest)}.${this.#session.id}`);
  }
}
