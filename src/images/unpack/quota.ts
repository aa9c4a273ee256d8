// Counts what an image unpacks to, and throws before it is over a limit.
import { overLimit, type ImageLimits } from '../limits.ts';
import type { TarEntry } from '../tar/entry.ts';
import { printable } from './root-directory.ts';

/** How many different names of extended attributes are noted, as an image may have any number. */
const notedAttributes = 16;
const otherAttributes = 'others';

/** What one image has unpacked to so far. */
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

  /** Entries, and folders without one. */
  get entries(): number {
    return this.#entries;
  }

  /** Bytes of all files by their length. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Counts an entry of an archive. */
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

  /** Counts a folder without an entry: one entry can be in a thousand of them. */
  implied(path: string): void {
    this.#addEntry();
    this.place(path);
  }

  /** Counts an entry's path, which is kept, and can be much longer than its name through links. */
  place(path: string): void {
    this.#addNames(path.length);
  }

  /** Counts a file's content. */
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
