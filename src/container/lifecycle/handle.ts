// Handles: what somebody wants to change of a container, gathered until it is committed. A handle knows which commit it
// was taken after; it is forgotten when nobody uses it for a while, and there are only so many.
import { ulid } from 'ulid';
import { BabelhostError } from '../../base/errors.ts';
import type { ContainerId } from '../id.ts';
import type { CopiedFile } from './copy.ts';
import type { Definition, EntryPoint } from './definition.ts';
import type { LifecycleLimits, LimitChanges } from './limits.ts';

export interface Handle {
  readonly id: string;
  readonly container: ContainerId;
  /** What a commit of it creates; undefined where the container is there. */
  readonly creates: Definition | undefined;
  /** The commit that it was taken after. */
  readonly generation: number;
  entryPoint: Partial<EntryPoint>;
  limits: LimitChanges;
  runState: 'running' | 'stopped' | undefined;
  files: CopiedFile[];
}

export class Handles {
  readonly #limits: LifecycleLimits;
  /** The one that was used last comes last. */
  readonly #handles = new Map<string, { readonly handle: Handle; usedAt: number }>();

  constructor(limits: LifecycleLimits) {
    this.#limits = limits;
  }

  /** @throws BabelhostError `overloaded` */
  open(container: ContainerId, generation: number, creates?: Definition): Handle {
    this.#forgetOld();
    if (this.#handles.size >= this.#limits.handles) {
      throw new BabelhostError(
        'overloaded',
        `${this.#limits.handles} handles are open: commit some, or wait until they expire (limit: handles).`,
        { handles: this.#limits.handles, limit: 'handles' },
      );
    }
    const handle: Handle = {
      id: ulid(),
      container,
      creates,
      generation,
      entryPoint: {},
      limits: {},
      runState: undefined,
      files: [],
    };
    this.#handles.set(handle.id, { handle, usedAt: performance.now() });
    return handle;
  }

  /**
   * A handle, which is used by that.
   * @throws BabelhostError `notFound` if there is none, or none any more
   */
  use(id: string): Handle {
    this.#forgetOld();
    const entry = this.#handles.get(id);
    if (entry === undefined) {
      const { handleMs } = this.#limits;
      throw new BabelhostError(
        'notFound',
        `There is no handle ${id.slice(0, 100)}: it was committed, or nobody used it for ${handleMs} ms (limit: handleMs). Take a new one.`,
        { handle: id.slice(0, 100), handleMs },
      );
    }
    this.#handles.delete(id);
    this.#handles.set(id, { handle: entry.handle, usedAt: performance.now() });
    return entry.handle;
  }

  close(handle: Handle): void {
    this.#handles.delete(handle.id);
  }

  #forgetOld(): void {
    const oldest = performance.now() - this.#limits.handleMs;
    for (const [id, { usedAt }] of this.#handles) {
      if (usedAt > oldest) return;
      this.#handles.delete(id);
    }
  }
}
