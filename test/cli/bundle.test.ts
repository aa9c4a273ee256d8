// The bundle that `bin` starts: what it was made of can be read in stack traces and in V8's coverage.
import { existsSync } from 'node:fs';
import { glob, readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';
import { mainProgram } from '../support/served-host.ts';

it('has source maps that lead to the sources', async () => {
  const program = path.resolve(mainProgram, '../../program');
  const found = new Set<string>();
  for await (const file of glob('*.cjs', { cwd: program })) {
    const map = path.join(program, `${file}.map`);
    const { sources } = JSON.parse(await readFile(map, 'utf8')) as { readonly sources: readonly string[] };
    for (const source of sources) found.add(path.resolve(program, source));
  }
  // rolldown's own helpers are in no file.
  const missing = [...found].filter((file) => !existsSync(file) && !file.includes('rolldown/runtime'));
  expect(missing).toEqual([]);
  expect(found).toContain(path.resolve(import.meta.dirname, '../../src/cli/program.ts'));
});
