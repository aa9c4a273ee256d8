// The floors of the design, as `npm run lint` holds them.
import { ESLint } from 'eslint';
import { expect, it } from 'vitest';

const eslint = new ESLint({ ruleFilter: ({ ruleId }) => ruleId === 'babelhost/floors' });

/** What the floor rule says of a file that has this line. The file itself need not hold any of it. */
async function complaints(filePath: string, line: string): Promise<(string | undefined)[]> {
  const [result] = await eslint.lintText(line, { filePath });
  return (result?.messages ?? []).map(({ message }) => message.split(':')[0]);
}

it.each([
  ['src/json/scanner.ts', `import { x } from '../drivers/pool.ts';`, 'json may not import from drivers'],
  ['src/images/reference.ts', `import { x } from '../container/index.ts';`, 'images may not import from container'],
  ['src/container/id.ts', `export * from '../drivers/pool.ts';`, 'container may not import from drivers'],
  [
    'src/drivers/pool/pool.ts',
    `const x = await import('../../protocol/server/server.ts');`,
    'drivers may not import from protocol',
  ],
  ['src/images/tar/reader.ts', `import '../../host.ts';`, 'images may not import from host.ts'],
  ['src/cli/main.ts', `import { x } from '../drivers/pool.ts';`, 'cli may not import from drivers'],
  ['src/base/errors.ts', `import { x } from '../host.ts';`, 'base may not import from host.ts'],
])('%s may not have %s', async (file, line, complaint) => {
  expect(await complaints(file, line)).toEqual([complaint]);
});

it.each([
  ['src/drivers/pool/pool.ts', `import { x } from '../images/index.ts';`],
  ['src/protocol/client.ts', `import { x } from '../json/raw-json.ts';`],
  ['src/images/tar/reader.ts', `import { x } from '../../base/errors.ts'; import '../digest.ts';`],
  ['src/cli/main.ts', `import { x } from '../protocol/client.ts'; import '../host.ts';`],
  ['src/host.ts', `import { x } from './drivers/pool.ts';`],
])('%s may have %s', async (file, line) => {
  expect(await complaints(file, line)).toEqual([]);
});
