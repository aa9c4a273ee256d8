// Counts what an image unpacks to, against its bounds: what is refused is refused before it is made.
import { overLimit, type ImageLimits } from '../limits.ts';
import type { TarEntry } from '../tar/entry.ts';
import { printable } from './root-directory.ts';

/** How many different names of extended attributes are noted: an image may have as many as it likes. */
const notedAttributes = 16;
const otherAttributes = 'others';

/** What one image came to so far. */
export class UnpackQuota {
  /** Device nodes and FIFOs: a container gets its devices from the runtime, and needs no right to make any. */
  devices = 0;
  /** Names of extended attributes, and how many entries have each (docs/images.md says why none is kept). */
  readonly attributes = new Map<string, number>();
  readonly #limits: ImageLimits;
  #entries = 0;
  #bytes = 0;
  #nameBytes = 0;

  constructor(limits: ImageLimits) {
    this.#limits = limits;
  }

  /** Entries, and the folders that they lie in without one of their own. */
  get entries(): number {
    return this.#entries;
  }

  /** Bytes of all files by their length. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Counts an entry, as its archive says it is. */
  entry({ name, link, size, attributes }: TarEntry): void {
    this.#addEntry();
    this.content(size);
    this.#addNames(name.length + link.length);
    for (const attribute of attributes) {
      this.#addNames(attribute.length);
      const shown = printable(attribute);
      const noted = this.attributes.has(shown) || this.attributes.size < notedAttributes ? shown : otherAttributes;
      this.attributes.set(noted, (this.attributes.get(noted) ?? 0) + 1);
    }
  }

  /** Counts a folder that an entry lies in and that nothing else has made: one entry can lie in a thousand of them. */
  implied(path: string): void {
    this.#addEntry();
    this.place(path);
  }

  /** Counts where an entry lies, which links can make much longer than its name, and which is remembered. */
  place(path: string): void {
    this.#addNames(path.length);
  }

  /** Counts a file's content, which is there or is about to be. */
  content(size: number): void {
    this.#bytes += size;
    const { unpackedBytes } = this.#limits;
    if (this.#bytes > unpackedBytes) throw overLimit('unpackedBytes', unpackedBytes, 'What the image unpacks to');
  }

  #addEntry(): void {
    this.#entries += 1;
    const { entries } = this.#limits;
    if (this.#entries > entries) throw overLimit('entries', entries, 'The number of entries in the image');
  }

  #addNames(length: number): void {
    this.#nameBytes += length;
    const { nameBytes } = this.#limits;
    if (this.#nameBytes > nameBytes)
      throw overLimit('nameBytes', nameBytes, "The length of all names of the image's entries");
  }
}
