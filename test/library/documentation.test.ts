// The example of docs/library.md works as it stands there, and prints what the page says.
import { spawn } from 'node:child_process';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { buildScriptDriver } from '../support/driver-images.ts';
import { collect } from '../support/program.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const project = path.join(import.meta.dirname, '../..');

it('docs/library.md has an example that prints what it says', async () => {
  const page = await readFile(path.join(project, 'docs/library.md'), 'utf8');
  const block = (language: string) => new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'ms').exec(page)?.[1] ?? '';
  const folder = await temporaryFolder();
  // What `npm install` makes, of the sources.
  const installed = path.join(folder, 'node_modules', 'babelhost');
  await mkdir(installed, { recursive: true });
  await writeFile(path.join(installed, 'package.json'), '{ "type": "module", "exports": "./index.js" }');
  const face = pathToFileURL(path.join(project, 'src/index.ts')).href;
  await writeFile(path.join(installed, 'index.js'), `export * from '${face}';\n`);
  await symlink(path.join(project, 'tsconfig.json'), path.join(folder, 'tsconfig.json'));
  const example = path.join(folder, 'example.mjs');
  await writeFile(example, block('js'));
  const image = await buildScriptDriver(folder, { language: 'toy', script: 'cat' });
  const child = spawn(process.execPath, [example, path.join(folder, 'root'), image], { stdio: 'pipe' });
  expect(await collect(child)).toEqual({ status: 0, stderr: '', stdout: block('text') });
});
