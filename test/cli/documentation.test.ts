// docs/operations.md leaves nothing out that the program has.
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { limits } from '../../src/cli/options.ts';
import { errorCodes } from '../../src/base/errors.ts';

const read = (name: string) => readFile(new URL(`../../${name}`, import.meta.url), 'utf8');

it('docs/operations.md has a row for every error kind with its code, and for every limit', async () => {
  const page = await read('docs/operations.md');
  for (const [kind, code] of Object.entries(errorCodes))
    expect(page).toMatch(new RegExp(`^\\| \`${kind}\` +\\| ${code} +\\|`, 'm'));
  for (const { long } of Object.values(limits)) expect(page).toMatch(new RegExp(`^\\| \`${long ?? ''}\` +\\|`, 'm'));
});

it('README.md names every command', async () => {
  const page = await read('README.md');
  for (const word of Object.keys(commands)) expect(page).toContain(`babelhost ${word}`);
});
