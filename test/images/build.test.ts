// Building images from recipes: what gets in, that it runs, that it is the same each time, and what is refused.
import { execFileSync } from 'node:child_process';
import {
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { parseReference, type ImageStore } from '../../src/images/index.ts';
import { file, folder, tar } from './support/archives.ts';
import { layoutWith } from './support/layouts.ts';
import { startRegistry, user } from './support/registries.ts';
import { filesIn, openStore } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let scratch: string;
let recipe: string;
let store: ImageStore;

beforeEach(async () => {
  scratch = await temporaryFolder();
  recipe = path.join(scratch, 'recipe');
  await mkdir(path.join(recipe, 'tree/sub/test'), { recursive: true });
  await writeFile(path.join(recipe, 'tree/a'), 'a');
  await writeFile(path.join(recipe, 'tree/run'), '#!/bin/sh\n', { mode: 0o700 });
  await writeFile(path.join(recipe, 'tree/sub/b'), 'b');
  await writeFile(path.join(recipe, 'tree/sub/test/c'), 'c');
  await symlink('sub/b', path.join(recipe, 'tree/inside'));
  await writeFile(path.join(recipe, 'outside'), 'from outside');
  await symlink('../../outside', path.join(recipe, 'tree/sub/out'));
  store = await openStore(scratch);
  return () => store[Symbol.asyncDispose]();
});

async function build(toml: string, look?: (root: string) => Promise<void>) {
  await writeFile(path.join(recipe, 'image.toml'), toml);
  const image = await store.build(recipe);
  if (look !== undefined) {
    await using lease = await store.lease(image.digest);
    await look(lease.rootfs);
  }
  return image;
}

const files = (...lines: string[]) => `[[layer]]\n[[layer.files]]\n${lines.join('\n')}\n`;

describe('a recipe', () => {
  it('puts files, folders and globs where it says', async () => {
    const toml = `directories = ["/tmp", "/empty"]\n${files('from = "tree"', 'to = "/opt/tree"', 'exclude = ["**/test/**"]')}
[[layer.files]]
from = "tree/a"
to = "/etc/renamed"
mode = "0600"
[[layer.files]]
from = "tree/a"
to = "/into/"
[[layer]]
[[layer.files]]
from = "tree/s*/*"
to = "/globbed"
[config]
user = "1:2"
workdir = "/opt"
entrypoint = ["/opt/tree/run"]
command = ["x"]
[config.env]
B = "2"
A = "1"
[config.labels]
l = "v"
`;
    const image = await build(toml, async (root) => {
      expect(await filesIn(root)).toEqual([
        'empty',
        'etc',
        'etc/renamed',
        'globbed',
        'globbed/sub',
        'globbed/sub/b',
        'globbed/sub/out',
        'globbed/sub/test',
        'globbed/sub/test/c',
        'into',
        'into/a',
        'opt',
        'opt/tree',
        'opt/tree/a',
        'opt/tree/inside',
        'opt/tree/run',
        'opt/tree/sub',
        'opt/tree/sub/b',
        'opt/tree/sub/out',
        'tmp',
      ]);
      const mode = async (name: string) => (await lstat(path.join(root, name))).mode & 0o7777;
      expect([
        await mode('tmp'),
        await mode('opt/tree/run'),
        await mode('opt/tree/a'),
        await mode('etc/renamed'),
      ]).toEqual([0o1777, 0o755, 0o644, 0o600]);
      expect(await readlink(path.join(root, 'opt/tree/inside'))).toBe('sub/b');
      expect(await readFile(path.join(root, 'opt/tree/sub/out'), 'utf8')).toBe('from outside');
      expect((await stat(path.join(root, 'opt/tree/a'))).mtimeMs).toBe(0);
    });
    expect(image.config).toMatchObject({
      user: '1:2',
      workingDirectory: '/opt',
      entrypoint: ['/opt/tree/run'],
      command: ['x'],
      env: ['A=1', 'B=2'],
      labels: { l: 'v' },
    });
    expect(image.layers).toHaveLength(2);
  });

  it('takes executables with their libraries, and npm packages, so that they run', async () => {
    const toml = `directories = ["/tmp"]
[[layer]]
[[layer.executables]]
name = "node"
to = "/usr/bin/node"
[[layer.executables]]
name = "/usr/bin/python3"
[[layer]]
[[layer.files]]
module = "picomatch"
to = "/lib/node_modules/picomatch"
`;
    await symlink(path.join(import.meta.dirname, '../../node_modules'), path.join(recipe, 'node_modules'));
    await build(toml, async (root) => {
      const inside = (...command: string[]) =>
        execFileSync('unshare', ['-r', 'chroot', root, ...command], { encoding: 'utf8' });
      expect(inside('/usr/bin/node', '-p', 'require("/lib/node_modules/picomatch").scan("a*").isGlob')).toBe('true\n');
      const python = (await filesIn(path.join(root, 'usr/bin'))).find((name) => name.startsWith('python'));
      expect(inside(`/usr/bin/${python ?? ''}`, '-S', '-I', '--version')).toMatch(/^Python 3/);
    });
  });

  it('gives the same image each time, and another for another SOURCE_DATE_EPOCH', async () => {
    const toml = `${files('from = "tree"', 'to = "/t"')}[config.env]\nA = "1"\nB = "2"\n`;
    const first = await build(toml);
    await utimes(path.join(recipe, 'tree/a'), 1, 1);
    await chmod(path.join(recipe, 'tree/sub/b'), 0o600);
    const again = await build(toml.replace('A = "1"\nB = "2"', 'B = "2"\nA = "1"'));
    expect(again.digest).toBe(first.digest);
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });
    vi.stubEnv('SOURCE_DATE_EPOCH', '1700000000');
    const later = await build(toml);
    expect(later.digest).not.toBe(first.digest);
    expect(later.created).toBe('2023-11-14T22:13:20Z');
    vi.stubEnv('SOURCE_DATE_EPOCH', 'tomorrow');
    await expect(build(toml)).rejects.toMatchObject({ kind: 'imageInvalid', data: { variable: 'SOURCE_DATE_EPOCH' } });
  });

  it.each(['none', 'gzip', 'zstd'])(
    'with compression %s makes an image that skopeo and umoci read',
    async (compression) => {
      const long = `${'d'.repeat(120)}/${'e'.repeat(120)}`;
      await mkdir(path.join(recipe, path.dirname(long)));
      await writeFile(path.join(recipe, long), 'long');
      await writeFile(
        path.join(recipe, 'image.toml'),
        `name = "n/x"\ncompression = "${compression}"\n${files('from = "."', 'to = "/r"')}`,
      );
      const output = parseReference(`oci:${scratch}/out:v1`);
      const written = await store.build(recipe, { output });
      expect(await store.list()).toEqual([]);
      const image = await store.build(recipe);
      expect(image.digest).toBe(written.digest);
      expect(image.names).toEqual(['docker.io/n/x:latest']);
      for (const reference of [`oci:${scratch}/out:v1`, `oci:${store.root}:docker.io/n/x:latest`]) {
        expect(JSON.parse(execFileSync('skopeo', ['inspect', reference], { encoding: 'utf8' }))).toMatchObject({
          Digest: image.digest,
        });
      }
      if (compression === 'zstd') return; // umoci 0.4 does not know it.
      execFileSync('umoci', ['unpack', '--rootless', '--image', `${scratch}/out:v1`, path.join(scratch, 'bundle')]);
      expect(await readFile(path.join(scratch, 'bundle/rootfs/r', long), 'utf8')).toBe('long');
    },
  );

  it('takes a base from a registry, with the credentials of the call', async () => {
    const host = await startRegistry(path.join(scratch, 'registry'), { basic: true });
    const layout = path.join(scratch, 'layout');
    await layoutWith(layout, [{ archive: tar(file('base', 'base')), compression: 'gzip' }], { name: 'b' });
    const credentials = ['--dest-creds', `${user.username}:${user.password}`];
    await execa('skopeo', [
      ...['copy', '--dest-tls-verify=false', ...credentials],
      ...[`oci:${layout}:b`, `docker://${host}/base:1`],
    ]);
    await writeFile(
      path.join(recipe, 'image.toml'),
      `base = "${host}/base:1"\n${files('from = "tree"', 'to = "/tree"')}`,
    );
    await expect(store.build(recipe)).rejects.toMatchObject({ kind: 'imageUnauthorized' });
    const image = await store.build(recipe, { credentials: user });
    await using lease = await store.lease(image.digest);
    expect(await readFile(path.join(lease.rootfs, 'base'), 'utf8')).toBe('base');
    const { stdout } = await execa('grep', ['-r', '-l', user.password, store.root], { reject: false });
    expect(stdout).toBe('');
  });

  it('puts its layers on a base', async () => {
    const layers = [
      { archive: tar(folder('tmp', { mode: 0o1777 }), file('tmp/base', 'base'), folder('t', { mode: 0o700 })) },
    ];
    const config = { Env: ['A=base', 'C=3'], Entrypoint: ['/base'], Cmd: ['arguments'], WorkingDir: '/base' };
    await layoutWith(path.join(recipe, 'base'), layers, { config, name: 'b' });
    const toml = `base = "oci:base:b"\n${files('from = "tree"', 'to = "/t/tree"')}[config]\nentrypoint = ["/new"]\n[config.env]\nA = "1"\n`;
    const image = await build(toml, async (root) => {
      expect(await readFile(path.join(root, 'tmp/base'), 'utf8')).toBe('base');
      expect(await readFile(path.join(root, 't/tree/a'), 'utf8')).toBe('a');
      expect((await stat(path.join(root, 't'))).mode & 0o7777).toBe(0o700);
    });
    expect(image.layers).toHaveLength(2);
    expect(image.config).toMatchObject({
      env: ['A=1', 'C=3'],
      entrypoint: ['/new'],
      command: [],
      workingDirectory: '/base',
    });
  });

  it.each([
    ['a key that is not known', 'nonsense = 1\n', /nonsense/],
    ['TOML that is none', 'name = \n', /line 1/],
    ['a place that climbs', files('from = "tree"', 'to = "/a/../../b"'), /layer\.0\.files\.0\.to/],
    ['a file that is not there', files('from = "none"', 'to = "/x"'), /none/],
    ['a glob that matches nothing', files('from = "none*"', 'to = "/x"'), /none\*/],
    ['both a file and a module', files('from = "tree"', 'module = "x"', 'to = "/x"'), /either/],
    ['a module that is not installed', files('module = "no-such-package"', 'to = "/x"'), /no-such-package/],
    ['a mode that is none', files('from = "tree"', 'to = "/x"', 'mode = "rwx"'), /mode/],
    ['an executable that is a script', '[[layer]]\n[[layer.executables]]\nname = "/usr/bin/ldd"\n', /script/],
    [
      'an executable that is not on PATH',
      '[[layer]]\n[[layer.executables]]\nname = "no-such-program"\n',
      /no-such-program/,
    ],
    ['nothing in it', '', /neither a base nor a layer/],
    ['a name that is none', `name = "Upper"\n${files('from = "tree"', 'to = "/x"')}`, /upper case/],
  ])('is refused for %s', async (_what, toml, message) => {
    await expect(build(toml)).rejects.toMatchObject({
      kind: 'imageInvalid',
      message: expect.stringMatching(message) as unknown,
    });
    expect(await store.list()).toEqual([]);
  });

  it('is refused for names and targets of links that are not UTF-8, unless they are left out', async () => {
    const latin1 = (name: string) => Buffer.concat([Buffer.from(`${recipe}/tree/sub/`), Buffer.from(name, 'latin1')]);
    const whole = files('from = "tree"', 'to = "/tree"');
    await writeFile(latin1('caf\xe9'), 'latin1');
    // What the name becomes when it is taken for UTF-8.
    await writeFile(path.join(recipe, 'tree/sub/caf\uFFFD'), 'another');
    await expect(build(whole)).rejects.toMatchObject({
      kind: 'imageInvalid',
      message: expect.stringMatching(/tree\/sub has a file whose name is not UTF-8 \(caf\\xe9\)/) as unknown,
    });
    await build(files('from = "tree"', 'to = "/tree"', 'exclude = ["sub/caf*"]'), async (root) => {
      expect(await filesIn(path.join(root, 'tree/sub'))).toEqual(['b', 'out', 'test', 'test/c']);
    });
    await rm(latin1('caf\xe9'));
    await symlink(Buffer.from('caf\xe9', 'latin1'), path.join(recipe, 'tree/sub/link'));
    await expect(build(whole)).rejects.toMatchObject({
      kind: 'imageInvalid',
      message: expect.stringMatching(/tree\/sub\/link is a link whose target is not UTF-8 \(caf\\xe9\)/) as unknown,
    });
  });

  it('keeps names of every length and script, and links to them', async () => {
    const names = [
      ...[99, 100, 101, 255].map((length) => 'n'.repeat(length)),
      ...['\u00e9', '\u00e9'.repeat(120), '\u{1f600}'.repeat(60), 'a\nb = c', ' x ', 'back\\slash', 'C:x'],
    ];
    for (const [index, name] of names.entries()) {
      await mkdir(path.join(recipe, 'names', name, name), { recursive: true });
      await writeFile(path.join(recipe, 'names', name, name, name), String(index));
      await symlink(path.join(name, name), path.join(recipe, 'names', name, 'link'));
    }
    await build(files('from = "names"', 'to = "/"'), async (root) => {
      expect((await readdir(root)).sort()).toEqual([...names].sort());
      for (const [index, name] of names.entries()) {
        expect(await readFile(path.join(root, name, name, name), 'utf8')).toBe(String(index));
        expect(await readFile(path.join(root, name, 'link'), 'utf8')).toBe(String(index));
        expect(await readlink(path.join(root, name, 'link'))).toBe(path.join(name, name));
      }
    });
  });

  it('is missed where there is none', async () => {
    await expect(store.build(path.join(scratch, 'nothing'))).rejects.toMatchObject({ kind: 'notFound' });
  });
});
