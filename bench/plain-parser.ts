// The parser as one has it as a library. What dialect a file is in, and with which options it is parsed, is the javascript
// driver's own module; the rest of the driver is not used.
import { createRequire } from 'node:module';

export interface Answer {
  readonly status: string;
  readonly errors: readonly unknown[];
  readonly ast: unknown;
}

const { parseSource } = createRequire(import.meta.url)('../catalog/javascript/lib/parse.cjs') as {
  parseSource: (request: { source: () => string; language: string; filename: string }) => Answer;
};

// As the driver has it: literals of this type have a value in the tree, and JSON has none for it.
Object.defineProperty(BigInt.prototype, 'toJSON', {
  value(this: bigint) {
    return this.toString();
  },
});
// Babel makes errors while it tries what an arrow function may be; their stacks cost time, and nobody reads them.
Error.stackTraceLimit = 0;

/** Parses the content of a file. */
export function parseFile(filename: string, content: string): Answer {
  return parseSource({ source: () => content, language: '', filename });
}
