// The seccomp filter that crun made of the list of system calls (seccomp.ts), kept to be given to crun again. Making it is a
// fifth of what crun does for a container: without this, fifty boots took a third longer.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import type { RuntimeProgram } from './runtime-program.ts';

/** crun.1: "ignore the seccomp section … and use the specified data as the raw data to the seccomp syscall". */
export const filterAnnotation = 'run.oci.seccomp_bpf_data';

/** Sizes of struct sock_filter, and of the longest filter (BPF_MAXINSNS), in bytes (linux/filter.h, linux/bpf_common.h). */
const instruction = 8;
const longest = 4096 * instruction;

export class SeccompFilter {
  readonly #runtime: RuntimeProgram;
  /** The filter, and the list that it was made of: it stands for no other. */
  #learned: { readonly profile: object; readonly data: string } | undefined;
  #asked = false;

  constructor(runtime: RuntimeProgram) {
    this.#runtime = runtime;
  }

  /** The annotations of a configuration with this list of system calls: none where no filter of it is known. */
  annotations(profile: object): Readonly<Record<string, string>> {
    return this.#learned?.profile === profile ? { [filterAnnotation]: this.#learned.data } : {};
  }

  /**
   * Takes the filter from the state of a container that was booted with the list. A crun that keeps no such file makes
   * its filter each time, as does every other runtime.
   * @param state the runtime's folder of that container, where none but the host's own user can write
   */
  async learn(state: string, profile: object): Promise<void> {
    if (this.#runtime.name !== 'crun' || this.#asked) return;
    this.#asked = true;
    const filter = await readFile(path.join(state, 'seccomp.bpf')).catch(() => undefined);
    if (filter === undefined || filter.length === 0 || filter.length % instruction !== 0 || filter.length > longest)
      return;
    this.#learned = { profile, data: filter.toString('base64') };
  }
}
