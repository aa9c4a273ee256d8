// What catalog/prepare.mjs makes for a quick start: the drivers use it where it fits, and do without it where it does not.
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { Script } from 'node:vm';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { node, python } from './native-driver.ts';

const run = promisify(execFile);
const catalog = fileURLToPath(new URL('../../catalog/', import.meta.url));
const babel = fileURLToPath(new URL('../../node_modules/@babel/parser', import.meta.url));

/** Lays a driver out in a folder as its image has it, and prepares it there. */
async function layOut(language: 'javascript' | 'python'): Promise<string> {
  const folder = await temporaryFolder();
  const driver = path.join(folder, 'opt/driver');
  for (const part of ['bin', 'lib']) {
    await cp(path.join(catalog, language, part), path.join(driver, part), {
      recursive: true,
      filter: (source) => !source.endsWith('__pycache__'),
    });
  }
  const [command, program] = language === 'python' ? [python, 'prepare.py'] : [node, 'prepare.mjs'];
  await run(command, [path.join(catalog, language, program), folder]);
  return folder;
}

/** Starts a program, writes one request to it, and returns its output. */
async function ask(command: string, args: string[], content: string): Promise<{ stdout: string; stderr: string }> {
  const running = run(command, args, { env: {}, maxBuffer: 1e8 });
  running.child.stdin?.end(`${JSON.stringify({ content, encoding: 'utf8' })}\n`);
  return running;
}

describe('the prepared javascript driver', () => {
  const native = (folder: string): string => path.join(folder, 'opt/driver/bin/native');

  const lib = (folder: string): string => path.join(folder, 'opt/driver/lib');

  it('runs from the prepared script, and gives the same trees', async () => {
    const folder = await layOut('javascript');
    // Of the package there is nothing but its version: without the script the driver could not start.
    const place = path.join(lib(folder), 'node_modules/@babel/parser');
    await mkdir(place, { recursive: true });
    await cp(path.join(babel, 'package.json'), path.join(place, 'package.json'));
    const source = await readFile(path.join(catalog, 'javascript/lib/dialect.cjs'), 'utf8');
    const content = `${source}; /[é\\u{1F600}]/u; ñ; "✓";`;
    const prepared = await ask(node, [native(folder)], content);
    const plain = await ask(node, [path.join(catalog, 'javascript/bin/native')], content);
    expect(prepared.stdout).toBe(plain.stdout);
    expect(prepared.stderr).toBe('');
  });

  it('is prepared with a cache that V8 takes, of functions that the first request calls', async () => {
    const folder = await layOut('javascript');
    const source = await readFile(path.join(lib(folder), 'driver.js'), 'latin1');
    const cachedData = await readFile(path.join(lib(folder), 'driver.cache'));
    expect(new Script(source, { cachedData }).cachedDataRejected).toBe(false);
    // The blank makes it another script, of which V8 has nothing compiled.
    expect(cachedData.length).toBeGreaterThan(new Script(`${source} `).createCachedData().length * 2);
  });

  it('starts without a cache that fits', async () => {
    const folder = await layOut('javascript');
    await cp(babel, path.join(lib(folder), 'node_modules/@babel/parser'), { recursive: true });
    await writeFile(path.join(lib(folder), 'driver.cache'), 'spoilt');
    expect((await ask(node, [native(folder)], 'x')).stdout).toMatch(/^\{"status":"ok"/);
  });

  it('runs from its modules where one of them, or the parser, is not what was prepared', async () => {
    const folder = await layOut('javascript');
    await cp(babel, path.join(lib(folder), 'node_modules/@babel/parser'), { recursive: true });
    const parse = path.join(lib(folder), 'parse.cjs');
    const text = await readFile(parse, 'utf8');
    // As long as it was, and with the times that it had, as all files of an image.
    await writeFile(parse, text.replace("'ok'", "'oh'"));
    expect((await ask(node, [native(folder)], 'x')).stdout).toMatch(/^\{"status":"oh"/);
    await writeFile(parse, text);
    await writeFile(path.join(lib(folder), 'driver.js'), 'throw new Error("not to be used")');
    const manifest = path.join(lib(folder), 'node_modules/@babel/parser/package.json');
    await writeFile(manifest, (await readFile(manifest, 'utf8')).replace(/"version": "[^"]*"/, '"version": "0.0.0"'));
    expect((await ask(node, [native(folder)], 'x')).stdout).toMatch(/^\{"status":"ok"/);
  });
});

describe('the prepared python driver', () => {
  it('loads bytecode that fits its source, whatever time the files have', async () => {
    const folder = await layOut('python');
    const native = path.join(folder, 'opt/driver/bin/native');
    const { stdout, stderr } = await ask(python, ['-vBIS', native], 'f"{x}" # y');
    expect(stdout).toMatch(/^\{"status":"ok"/);
    const loaded = [...stderr.matchAll(/^# code object from '?([^'\n]*babelhost_python[^'\n]*?)'?$/gm)].map(
      ([, file]) => file,
    );
    expect(loaded.length).toBeGreaterThanOrEqual(7);
    expect(loaded.filter((file) => !file?.endsWith('.pyc'))).toEqual([]);
  });

  it('loads a source that was changed after', async () => {
    const folder = await layOut('python');
    const file = path.join(folder, 'opt/driver/lib/babelhost_python/tree.py');
    await writeFile(file, (await readFile(file, 'utf8')).replaceAll('"comments"', '"remarks"'));
    const { stdout } = await ask(python, ['-BIS', path.join(folder, 'opt/driver/bin/native')], 'x # y');
    expect(stdout).toContain('"remarks":[');
  });
});
