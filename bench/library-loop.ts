// A program as one writes it who has the parser as a library: reads files one by one, parses each, and makes the JSON of
// its tree. What dialect a file is in, and with which options it is parsed, is the javascript driver's own module; the
// rest of the driver is not used. A line with the files comes in, a line goes out when they are done.
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

interface Answer {
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

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as { readonly files: readonly string[]; readonly hash?: boolean };
  const hashes: string[] = [];
  for (const file of request.files) {
    const content = readFileSync(file, 'utf8');
    const { ast } = parseSource({ source: () => content, language: '', filename: file });
    const json = Buffer.from(JSON.stringify(ast));
    if (request.hash === true) hashes.push(hash('sha256', json));
  }
  process.stdout.write(`${JSON.stringify(hashes)}\n`);
}
