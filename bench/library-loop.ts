// A program as one writes it who has the parser as a library: reads files one by one, parses each, and makes the JSON of
// its tree. (plain-parser.ts). A line with the files comes in, a line goes out when they are done.
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseFile } from './plain-parser.ts';

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as { readonly files: readonly string[]; readonly hash?: boolean };
  const hashes: string[] = [];
  for (const file of request.files) {
    const content = readFileSync(file, 'utf8');
    const { ast } = parseFile(file, content);
    const json = Buffer.from(JSON.stringify(ast));
    if (request.hash === true) hashes.push(hash('sha256', json));
  }
  process.stdout.write(`${JSON.stringify(hashes)}\n`);
}
