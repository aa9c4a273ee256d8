// Finds the id of a JSON-RPC message that is too large to be held, while its bytes go by, so that even such a request
// is answered as itself. Imports nothing.

const quote = 0x22;
const backslash = 0x5c;

/** An id longer than this is not one that a client of ours makes. */
const idLimit = 1024;

/**
 * Scans the bytes of a JSON object for the value of its own `id` member, at any place in it and across any chunks.
 * Keeps nothing but the value: strings and nested values go by uncopied.
 */
export class TopLevelIdFinder {
  #depth = 0;
  #inString = false;
  #escaped = false;
  /** The bytes of the member's name or of the id's value, where one of them is being read. */
  #token: number[] = [];
  #reading: 'none' | 'name' | 'value' = 'none';
  #expecting: 'name' | 'value' = 'name';
  #valueOfId = false;
  #id: string | number | null = null;

  /** The id, or null where none has gone by. */
  get id(): string | number | null {
    return this.#id;
  }

  feed(bytes: Uint8Array): void {
    for (let index = 0; index < bytes.length; index += 1) {
      const byte = bytes[index] ?? 0;
      if (this.#inString) {
        if (this.#reading === 'none' && !this.#escaped) {
          // The long way through a source's text: jump to what can end it.
          const end = nextStringEvent(bytes, index);
          if (end < 0) return;
          index = end;
        }
        this.#string(bytes[index] ?? 0);
      } else {
        this.#structure(byte);
      }
    }
  }

  #string(byte: number): void {
    this.#keep(byte);
    if (this.#escaped) this.#escaped = false;
    else if (byte === backslash) this.#escaped = true;
    else if (byte === quote) {
      this.#inString = false;
      if (this.#reading === 'name') {
        this.#valueOfId = this.#text() === '"id"';
        this.#reading = 'none';
      } else if (this.#reading === 'value') this.#finishValue();
    }
  }

  #structure(byte: number): void {
    switch (byte) {
      case quote:
        this.#inString = true;
        this.#token = [];
        if (this.#depth === 1 && this.#expecting === 'name') this.#reading = 'name';
        else if (this.#depth === 1 && this.#valueOfId) this.#reading = 'value';
        this.#keep(byte);
        return;
      case 0x7b: // {
      case 0x5b: // [
        this.#depth += 1;
        return;
      case 0x7d: // }
      case 0x5d: // ]
        this.#finishValue();
        this.#depth -= 1;
        return;
      case 0x3a: // :
        if (this.#depth === 1) this.#expecting = 'value';
        return;
      case 0x2c: // ,
        this.#finishValue();
        if (this.#depth === 1) {
          this.#expecting = 'name';
          this.#valueOfId = false;
        }
        return;
      default:
        if (this.#depth === 1 && this.#expecting === 'value' && this.#valueOfId) {
          if (this.#reading === 'none') this.#token = [];
          this.#reading = 'value';
          this.#keep(byte);
        }
    }
  }

  #keep(byte: number): void {
    if (this.#reading !== 'none' && this.#token.length < idLimit) this.#token.push(byte);
  }

  #finishValue(): void {
    if (this.#reading !== 'value' || this.#depth !== 1) return;
    this.#reading = 'none';
    this.#valueOfId = false;
    try {
      const value: unknown = JSON.parse(this.#text());
      if (typeof value === 'string' || typeof value === 'number') this.#id = value;
    } catch {
      // Cut at its limit or not JSON: it stays unknown, and the answer's id is null as JSON-RPC 2.0 has it.
    }
  }

  #text(): string {
    return Buffer.from(this.#token).toString('utf8');
  }
}

/** The next place at or after `from` of a quote or a backslash, or -1. */
function nextStringEvent(bytes: Uint8Array, from: number): number {
  for (let index = from; index < bytes.length; index += 1) {
    const byte = bytes[index];
    if (byte === quote || byte === backslash) return index;
  }
  return -1;
}
