// The scripts of README.md work as they stand there.
import { spawn } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { cataloguedImage } from '../support/driver-images.ts';
import { collect, runProgram } from '../support/program.ts';
import { mainProgram } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

let folder: string;
let readme: string;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const root = path.join(folder, 'root');
  for (const language of ['python', 'javascript'] as const) {
    const image = cataloguedImage(inject('catalogue'), language);
    expect(await runProgram(['driver', 'install', image, '--root', root])).toMatchObject({ status: 0 });
  }
  // What `npm link` makes, of the sources.
  const bin = path.join(folder, 'bin');
  await mkdir(bin);
  await writeFile(path.join(bin, 'babelhost'), `#!/bin/sh\nexec '${process.execPath}' '${mainProgram}' "$@"\n`, {
    mode: 0o755,
  });
  environment = { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}`, BABELHOST_ROOT: root };
});

afterAll(async () => {
  await removeFolder(folder);
});

/** The text of a fenced block. */
function block(language: string): string {
  const text = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'ms').exec(readme)?.[1];
  if (text === undefined) throw new Error(`README.md has no block of ${language}`);
  return text;
}

it('a shell', async () => {
  const child = spawn('sh', ['-c', block('bash')], { env: environment });
  expect(await collect(child)).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^\{.*"_type":"Module".*\}\n$/) as string,
  });
});

it('Python', async () => {
  const child = spawn('/usr/bin/python3', ['-c', block('python')], { env: environment });
  expect(await collect(child)).toMatchObject({
    status: 0,
    stdout: expect.stringContaining("'_type': 'Module'") as string,
  });
});

it('Node', async () => {
  const client = new URL('../../src/protocol/client.ts', import.meta.url).href;
  const script = path.join(folder, 'script.mjs');
  await writeFile(script, block('js').replace('babelhost/client', client));
  const child = spawn(process.execPath, [script], { env: environment });
  expect(await collect(child)).toMatchObject({ status: 0, stdout: expect.stringContaining("type: 'File'") as string });
});
