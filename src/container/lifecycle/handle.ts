// Handles: changes to a container, collected until they are committed. A handle expires when it is not used for a while,
// and their number is limited.
import { ulid } from 'ulid';
import { BabelhostError } from '../../base/errors.ts';
import type { ContainerId } from '../id.ts';
import type { CopiedFile } from './copy.ts';
import type { Definition, EntryPoint } from './definition.ts';
import type { LifecycleLimits, LimitChanges } from './limits.ts';

export interface Handle {
  readonly id: string;
  readonly container: ContainerId;
  /** The commit that it was taken after; 0 before the first. */
  readonly generation: number;
  /** The container that its commit creates; undefined if that exists. */
  readonly creates: Definition | undefined;
  entryPoint: Partial<EntryPoint>;
  limits: LimitChanges;
  runState: 'running' | 'stopped' | undefined;
  files: readonly CopiedFile[];
  usedAt: number;
}

export class Handles {
  readonly #limits: LifecycleLimits;
  /** By their ids, the one that was used last at the end. */
  readonly #handles = new Map<string, Handle>();

  constructor(limits: LifecycleLimits) {
    this.#limits = limits;
  }

  /** @throws BabelhostError `overloaded` */
  open(container: ContainerId, generation: number, creates?: Definition): Handle {
    this.#removeExpired();
    const { handles } = this.#limits;
    if (this.#handles.size >= handles) {
      const message = `${handles} handles are open: commit some, or wait until they expire (limit: handles).`;
      throw new BabelhostError('overloaded', message, { handles, limit: 'handles' });
    }
    const recorded = { entryPoint: {}, limits: {}, runState: undefined, files: [] };
    const handle: Handle = { id: ulid(), container, generation, creates, ...recorded, usedAt: performance.now() };
    this.#handles.set(handle.id, handle);
    return handle;
  }

  /**
   * Finds a handle and restarts the time after which it expires.
   * @throws BabelhostError `notFound` if there is none, or none any more
   */
  use(id: string): Handle {
    this.#removeExpired();
    const handle = this.#handles.get(id);
    if (handle === undefined) {
      const { handleMs } = this.#limits;
      const shown = id.slice(0, 100);
      const message = `There is no handle ${shown}: it was committed, or nobody used it for ${handleMs} ms (limit: handleMs). Take a new one.`;
      throw new BabelhostError('notFound', message, { handle: shown, handleMs });
    }
    handle.usedAt = performance.now();
    this.#handles.delete(id);
    this.#handles.set(id, handle);
    return handle;
  }

  close(handle: Handle): void {
    this.#handles.delete(handle.id);
  }

  #removeExpired(): void {
    const oldest = performance.now() - this.#limits.handleMs;
    for (const handle of this.#handles.values()) {
      if (handle.usedAt > oldest) return;
      this.close(handle);
    }
  }
}
