// Pulling, pushing, removing and pruning images, and installing what a catalogue file lists, from the command line, with a
// real registry.
import { randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { execa } from 'execa';
import { beforeEach, describe, expect, it } from 'vitest';
import { file, tar } from '../images/support/archives.ts';
import { layoutWith } from '../images/support/layouts.ts';
import { startFront, startRegistry, user, type Change } from '../images/support/registries.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { runOnTerminal, runProgram, type RunOptions } from '../support/program.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const echo = `while IFS= read -r line; do printf '{"status":"ok","errors":[],"ast":{"echo":true}}\\n'; done`;

let folder: string;
let root: string;

beforeEach(async () => {
  folder = await temporaryFolder();
  root = path.join(folder, 'root');
});

const run = (args: readonly string[], options: RunOptions = {}) => runProgram([...args, '--root', root], options);

async function json(...args: string[]): Promise<unknown> {
  const { status, stdout, stderr } = await run([...args, '--json']);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return JSON.parse(stdout);
}

describe('image', () => {
  it('build --push, pull, push, remove and prune follow one another', async () => {
    const registry = await startRegistry(path.join(folder, 'registry'));
    const name = `${registry}/mine/tongue:1`;
    await buildScriptDriver(folder, { language: 'tongue', script: echo });
    const recipe = path.join(folder, 'recipe-tongue-1');
    const built = await run(['image', 'build', recipe, '--tag', name, '--push']);
    expect(built).toMatchObject({ status: 0, stderr: '' });
    expect(built.stdout).toMatch(
      /^Built 127.* sha256:\w{64} \(.*\)\nPushed docker:\/\/127.*\/mine\/tongue:1 sha256:\w{64}\n$/,
    );

    expect((await run(['image', 'remove', name])).stdout).toMatch(/^Removed 127.* sha256:\w{64}\n$/);
    expect(await json('image', 'list')).toEqual({ images: [] });

    const pulled = await run(['image', 'pull', name, `docker://${registry}/mine/none:1`]);
    expect(pulled).toMatchObject({ status: 1, stderr: expect.stringContaining('(imageNotFound)') as string });
    expect(pulled.stdout).toMatch(/^Pulled 127.* sha256:\w{64} \(.*, 2 layers\)\n$/);
    expect((await run(['image', 'push', name, `oci:${path.join(folder, 'out')}:x`])).status).toBe(0);
    await execa('skopeo', ['inspect', `oci:${path.join(folder, 'out')}:x`]);
    expect(await json('image', 'push', name, `docker://${registry}/mine/other:2`)).toMatchObject({
      reference: `docker://${registry}/mine/other:2`,
    });

    expect((await run(['driver', 'install', 'tongue', name])).status).toBe(0);
    const refused = await run(['image', 'remove', name]);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toMatch(/driver remove tongue.*\(conflict\)/);
    expect((await run(['image', 'remove', name, '--force'])).status).toBe(0);
    expect((await run(['image', 'prune'])).stdout).toMatch(/^Freed 0 B \(0 blobs\)\n$/);
    expect(await json('image', 'prune')).toEqual({ removed: [], freedBytes: 0 });
  });

  it('build takes --push with a registry only, and credentials whole', async () => {
    for (const wrong of [
      ['--push', '--output', 'oci:x'],
      ['--username', 'x'],
      ['--push', '--username', 'x'],
    ]) {
      expect(await run(['image', 'build', folder, ...wrong], { input: 'secret' })).toMatchObject({
        status: 2,
        stdout: '',
      });
    }
  });

  it('pull keeps the limits that it is given, and errors name them', async () => {
    const reference = await buildScriptDriver(folder, { language: 'tongue', script: echo });
    const refused = await run(['image', 'pull', reference, '--image-limit', 'entries=3', '--image-limit', 'layers=9']);
    expect(refused).toMatchObject({ status: 1, stdout: '' });
    expect(refused.stderr).toMatch(/'entries' of 3.*--image-limit entries=.*\(imageInvalid\)/);
    const layers = await run(['image', 'pull', reference, '--image-limit', 'layers=1']);
    expect(layers.stderr).toMatch(/--image-limit layers=/);
    expect((await run(['image', 'pull', reference, '--image-limit', 'unpackedBytes=64M'])).status).toBe(0);
    for (const wrong of ['entries', 'entries=', 'entries=-1', 'nonsense=1', 'constructor=1']) {
      expect((await run(['image', 'pull', reference, '--image-limit', wrong])).status).toBe(2);
    }
  });

  it('pull shows a bar for each layer on a terminal, and leaves nothing of it on the screen', async () => {
    const registry = await startRegistry(path.join(folder, 'registry'));
    const contents = [randomBytes(6e6), randomBytes(5e6)];
    const layout = path.join(folder, 'layout');
    await layoutWith(
      layout,
      contents.map((content, index) => ({ archive: tar(file(`random-${index}`, content)) })),
      { name: 'x' },
    );
    await execa('skopeo', ['copy', '--dest-tls-verify=false', `oci:${layout}:x`, `docker://${registry}/n/x:t`]);
    // A slow network: half of each blob comes a second after the other.
    const slow: Change = (_incoming, answer, outgoing) => {
      const length = Number(answer.headers['content-length']);
      if (!(length > 1e6)) return false;
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      void buffer(answer).then((bytes) => {
        outgoing.write(bytes.subarray(0, length / 2));
        setTimeout(() => outgoing.end(bytes.subarray(length / 2)), 1000);
      });
      return true;
    };
    const front = await startFront(registry, () => false, slow);
    const { status, stdout } = await runOnTerminal(['image', 'pull', `${front}/n/x:t`, '--root', root]);
    expect(status).toBe(0);
    const { images } = (await json('image', 'list')) as {
      images: { layers: { digest: string; sizeBytes: number }[] }[];
    };
    for (const { digest } of images[0]?.layers ?? []) {
      // Its first twelve digits, a bar that is half full, and the bytes.
      expect(stdout).toMatch(new RegExp(`fetching +${digest.slice(7, 19)} .*━+.*─+.* [0-9.]+ [KM]iB / [0-9.]+ MiB`));
    }
    // The bars are erased before the last line is written.
    const end = stdout.slice(stdout.lastIndexOf('━'));
    expect(end.indexOf('\u001b[2K')).toBeGreaterThan(0);
    expect(end.indexOf('Pulled 127')).toBeGreaterThan(end.lastIndexOf('\u001b[2K'));
    const piped = await run(['image', 'pull', `${registry}/n/x:t`]);
    expect(piped.stdout + piped.stderr).not.toContain('━');
  });

  it('push, pull and driver install take a password from stdin, and keep it to themselves', async () => {
    const registry = await startRegistry(path.join(folder, 'registry'), { basic: true });
    const name = `${registry}/mine/tongue:1`;
    const reference = await buildScriptDriver(folder, { language: 'tongue', script: echo });
    await run(['image', 'pull', reference]);
    const login = ['--username', user.username, '--password-stdin', '--log-level', 'trace'];
    const withPassword = async (input: string, ...args: string[]) => {
      const ended = await run([...args, ...login], { input });
      expect(ended.stdout + ended.stderr).not.toContain(input.trim());
      return ended;
    };
    expect(await withPassword('not it', 'image', 'push', '1', name)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('imageUnauthorized') as string,
    });
    expect((await withPassword(`${user.password}\n`, 'image', 'push', '1', name)).status).toBe(0);
    await run(['image', 'remove', '1']);
    expect((await withPassword(user.password, 'image', 'pull', name)).status).toBe(0);
    expect((await withPassword(user.password, 'driver', 'install', name)).status).toBe(0);
    expect(await run(['image', 'pull', name])).toMatchObject({ status: 1 });
    for (const wrong of [
      ['--username', 'x'],
      ['--password-stdin'],
      ['--username', '', '--password-stdin'],
      ['--username', 'x', '--password-stdin'],
    ]) {
      expect(await run(['image', 'pull', name, ...wrong], { input: '' })).toMatchObject({ status: 2, stdout: '' });
    }
  });
});

describe('driver install from a catalogue file', () => {
  /** A file with a driver that is a reference, one that is a recipe, one that cannot be had, and one that is young. */
  async function makeFile(): Promise<string> {
    const file = path.join(folder, 'drivers.toml');
    await buildScriptDriver(folder, { language: 'one', script: echo });
    await buildScriptDriver(folder, { language: 'two', script: echo });
    await buildScriptDriver(folder, { language: 'young', script: echo });
    const entry = (language: string, status: string, source: string) =>
      `[[driver]]\nlanguage = "${language}"\nstatus = "${status}"\n${source}\n`;
    await writeFile(
      file,
      [
        entry('one', 'beta', 'reference = "oci:image-one:1"'),
        entry('missing', 'stable', 'reference = "oci:image-missing:1"'),
        entry('two', 'mature', 'recipe = "recipe-two-1"'),
        entry('young', 'alpha', 'recipe = "recipe-young-1"'),
      ].join(''),
    );
    return file;
  }

  const languages = async (): Promise<string[]> =>
    ((await json('driver', 'list')) as { drivers: { language: string }[] }).drivers.map(({ language }) => language);

  it('--recommended installs those that are beta or better, --all the others too; failures do not stop the rest', async () => {
    const file = await makeFile();
    const recommended = await run(['driver', 'install', '--recommended', '--catalogue', file]);
    expect(recommended.status).toBe(1);
    expect(recommended.stdout).toMatch(/^Installed one 1 sha256:\w+\nInstalled two 1 sha256:\w+\n$/);
    expect(recommended.stderr).toMatch(/^babelhost: .*image-missing.*\(imageNotFound\)\n$/);
    expect(await languages()).toEqual(['one', 'two']);

    await writeFile(
      file,
      (await readFile(file, 'utf8')).replace('image-missing', 'image-one').replace('"missing"', '"three"'),
    );
    const all = await run(['driver', 'install', '--all', '--json'], { environment: { BABELHOST_CATALOGUE: file } });
    expect(all.status).toBe(1);
    // What is installed is as it should be; an image of another language is not.
    expect(JSON.parse(all.stdout)).toMatchObject({
      installed: [
        { skipped: { data: { kind: 'driverAlreadyInstalled' } } },
        { error: { data: { kind: 'driverMalformed', found: 'one' } } },
        { skipped: { data: { kind: 'driverAlreadyInstalled' } } },
        { driver: { language: 'young' } },
      ],
    });
    expect(await languages()).toEqual(['one', 'two', 'young']);

    // The root's own file is found without being named.
    await writeFile(
      path.join(root, 'catalogue.toml'),
      `[[driver]]\nlanguage = "one"\nstatus = "beta"\nreference = "oci:${folder}/image-one:1"\n`,
    );
    expect(await run(['driver', 'install', '--all'])).toMatchObject({
      status: 0,
      stderr: expect.stringContaining('one is installed already') as string,
    });
    expect((await run(['driver', 'install', '--all', '--update'])).stdout).toMatch(/^Unchanged one 1 /);
  });

  it('that selects nothing, is not there or is wrong says so', async () => {
    const file = path.join(folder, 'drivers.toml');
    expect(await run(['driver', 'install', '--all', '--catalogue', file])).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringContaining('(notFound)') as string,
    });
    await writeFile(file, '[[driver]]\nlanguage = "x"\nstatus = "alpha"\nrecipe = "x"\n');
    const nothing = await run(['driver', 'install', '--recommended', '--catalogue', file]);
    expect(nothing).toMatchObject({ status: 1, stdout: '' });
    expect(nothing.stderr).toMatch(/nothing to install.*recommends none.*\(notFound\)/);
    await writeFile(file, '[[driver]]\nlanguage = "x"\n');
    const wrong = await run(['driver', 'install', '--all', '--catalogue', file]);
    expect(wrong).toMatchObject({ status: 1, stdout: '' });
    expect(wrong.stderr).toMatch(/driver\[1\]\.status.*\(imageInvalid\)/);
  });

  it('excludes what names an image', async () => {
    for (const wrong of [
      [],
      ['--all', 'x'],
      ['--all', '--recommended'],
      ['--catalogue', 'x', 'oci:x'],
      ['--all', '--username', 'x', '--password-stdin'],
    ]) {
      expect(await run(['driver', 'install', ...wrong])).toMatchObject({ status: 2, stdout: '' });
    }
  });

  it('--all on a fresh root builds and installs the project’s own drivers', async () => {
    await mkdir(root);
    const ended = await run(['driver', 'install', '--all']);
    expect(ended).toMatchObject({ status: 0, stderr: '' });
    expect(ended.stdout).toMatch(/^Installed python .*\nInstalled javascript .*\n$/);
    for (const [name, content] of [
      ['a.py', 'x = 1\n'],
      ['a.ts', 'const x: number = 1;\n'],
    ] as const) {
      await writeFile(path.join(folder, name), content);
      expect((await run(['parse', path.join(folder, name), '--json'])).status).toBe(0);
    }
    expect((await run(['driver', 'install', '--recommended'])).status).toBe(0);
  });
});
