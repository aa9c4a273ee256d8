// Installing and managing drivers, and building images, from the command line.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { buildScriptDriver, cataloguedImage } from '../support/driver-images.ts';
import { runOnTerminal, runProgram } from '../support/program.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

const digest = /sha256:[0-9a-f]{64}/;
const echo = `while IFS= read -r line; do printf '{"status":"ok","errors":[],"ast":{"echo":true}}\\n'; done`;

let folder: string;
let first: string;
let second: string;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  first = await buildScriptDriver(folder, { language: 'echo', script: echo });
  second = await buildScriptDriver(folder, { language: 'echo', script: `${echo} # later`, version: '2' });
});

afterAll(async () => {
  await removeFolder(folder);
});

/** A root of the test's own. */
let roots = 0;
const inNewRoot = () => {
  const root = path.join(folder, `root-${++roots}`);
  return {
    root,
    run: (...args: string[]) => runProgram([...args, '--root', root]),
    json: async (...args: string[]): Promise<unknown> => {
      const { status, stdout, stderr } = await runProgram([...args, '--root', root, '--json']);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      return JSON.parse(stdout);
    },
  };
};

describe('driver', () => {
  it('install, list, inspect and remove follow one another', async () => {
    const { run, json } = inNewRoot();
    expect(await run('driver', 'list')).toMatchObject({ status: 0, stdout: '' });
    expect(await json('driver', 'list')).toEqual({ drivers: [] });

    const installed = await run('driver', 'install', first);
    expect(installed).toMatchObject({ status: 0, stderr: '' });
    expect(installed.stdout).toMatch(/^Installed echo 1 sha256:[0-9a-f]{64}\n$/);

    const listed = await run('driver', 'list');
    expect(listed.stdout.split('\n')[0]).toMatch(/^LANGUAGE +ALIASES +VERSION +STATUS +SIZE +DIGEST +REFERENCE$/);
    expect(listed.stdout.split('\n')[1]).toMatch(/^echo .* 1 .* sha256:[0-9a-f]{12} +oci:/);

    expect((await run('driver', 'inspect', 'echo')).stdout).toMatch(digest);
    expect(await json('driver', 'inspect', 'echo')).toMatchObject({ language: 'echo', manifest: { version: '1' } });

    expect((await run('driver', 'remove', 'echo')).stdout).toMatch(/^Removed echo sha256:/);
    expect(await json('driver', 'list')).toEqual({ drivers: [] });
  });

  it('install takes another image for a language only with --update, and is content with --force', async () => {
    const { run, json } = inNewRoot();
    await run('driver', 'install', first);
    const refused = await run('driver', 'install', second);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^babelhost: .*--update.*\(driverAlreadyInstalled\)\n$/);
    expect(await run('driver', 'install', second, '--force')).toMatchObject({
      status: 0,
      stdout: '',
      stderr: expect.stringContaining('echo is installed already') as string,
    });
    expect(await json('driver', 'inspect', 'echo')).toMatchObject({ manifest: { version: '1' } });
    expect((await run('driver', 'install', second, '--update')).stdout).toMatch(/^Updated echo 2 /);
    expect((await run('driver', 'install', second, '--update')).stdout).toMatch(/^Unchanged echo 2 /);
  });

  it('install goes on after one that fails, and says so in its exit status', async () => {
    const { run, json } = inNewRoot();
    const ended = await run('driver', 'install', 'oci:/nonexistent:x', first);
    expect(ended.status).toBe(1);
    expect(ended.stderr).toContain('(imageNotFound)');
    expect(ended.stdout).toMatch(/^Installed echo/);
    expect(await json('driver', 'list')).toMatchObject({ drivers: [{ language: 'echo' }] });
  });

  it('install refuses an image of another language than the one named', async () => {
    const { run } = inNewRoot();
    const refused = await run('driver', 'install', 'python', first);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toContain('(driverMalformed)');
    expect((await run('driver', 'install', 'echo', first)).status).toBe(0);
    expect(await run('driver', 'install', 'echo', first, second)).toMatchObject({ status: 2, stdout: '' });
  });

  it('install takes paths relative to where the user is', async () => {
    const { root, json } = inNewRoot();
    const reference = first.replace(`oci:${folder}/`, 'oci:');
    const ended = await runProgram(['driver', 'install', reference, '--root', root], { cwd: folder });
    expect(ended).toMatchObject({ status: 0, stderr: '' });
    expect(await json('driver', 'inspect', 'echo')).toMatchObject({ reference: first });
  });

  it('errors are whole with --json: code, kind, sentence and data', async () => {
    const { root } = inNewRoot();
    const { status, stdout, stderr } = await runProgram(['driver', 'inspect', 'cobol', '--root', root, '--json']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(JSON.parse(stderr)).toEqual({
      error: {
        code: 1001,
        message: expect.stringContaining('cobol') as string,
        data: { kind: 'driverNotInstalled', language: 'cobol' },
      },
    });
    expect((await runProgram(['driver', 'remove', 'cobol', '--root', root])).status).toBe(1);
  });

  it('shows how far an install is on a terminal, and leaves nothing of it on the screen', async () => {
    const { root } = inNewRoot();
    const image = cataloguedImage(inject('catalogue'), 'javascript');
    const { status, stdout } = await runOnTerminal(['driver', 'install', image, '--root', root]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/Installed javascript/);
    const listed = await runOnTerminal(['driver', 'list', '--root', root]);
    expect(listed.stdout).toContain('\u001b[1mLANGUAGE');
  });

  it('makes text of strangers harmless to the terminal', async () => {
    const { root } = inNewRoot();
    const evil = await buildScriptDriver(folder, {
      language: 'evil',
      script: echo,
      manifest: 'name = "a\\u001b]0;owned\\u0007b"\nlanguage = "evil"\nversion = "1\\u001b[2J"\n',
    });
    const { stdout, stderr } = await runOnTerminal(['driver', 'install', evil, '--root', root]);
    expect(stdout + stderr).not.toContain('\u001b[2J');
    const inspected = await runOnTerminal(['driver', 'inspect', 'evil', '--root', root]);
    expect(inspected.stdout).not.toContain('\u001b]0;');
  });
});

describe('image', () => {
  it('build writes an image to a layout, or to the store, where list and inspect show it', async () => {
    const { root, run, json } = inNewRoot();
    const recipe = fileURLToPath(new URL('../../catalog/python', import.meta.url));
    const layout = path.join(folder, 'built');
    const built = await run('image', 'build', recipe, '--output', `oci:${layout}:py`);
    expect(built).toMatchObject({ status: 0, stderr: '' });
    expect(built.stdout).toMatch(/^Built oci:.* sha256:[0-9a-f]{64} \(.*MiB, \d+ layers?\)\n$/);
    expect(JSON.parse(await readFile(path.join(layout, 'index.json'), 'utf8'))).toHaveProperty('manifests');

    expect((await run('image', 'build', recipe, '--tag', 'mine/python:1')).status).toBe(0);
    expect((await run('image', 'list')).stdout).toContain('mine/python:1');
    const inspected = (await json('image', 'inspect', 'mine/python:1')) as { digest: string };
    expect(built.stdout).toContain(inspected.digest);
    expect((await run('image', 'inspect', inspected.digest.slice(0, 19))).stdout).toContain('mine/python:1');
    expect((await runProgram(['driver', 'list', '--root', root])).stdout).toBe('');
  });

  it('build says what is wrong with a recipe', async () => {
    const { run } = inNewRoot();
    const recipe = path.join(folder, 'recipe-wrong');
    await mkdir(recipe);
    expect(await run('image', 'build', recipe)).toMatchObject({ status: 1, stdout: '' });
    await writeFile(path.join(recipe, 'image.toml'), 'layer = 1');
    const refused = await run('image', 'build', recipe);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^babelhost: .*image\.toml.*\(\w+\)\n$/);
  });
});
