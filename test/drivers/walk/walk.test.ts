// Walking a folder: which files are found, in trees as they are and in hostile ones.
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { uriOfPath } from '../../../src/base/byte-paths.ts';
import { CancelledError } from '../../../src/drivers/request.ts';
import { makeDeep } from '../../support/deep-folders.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { files, walked, writeTree } from './tree.ts';

let top: string;
let home: string;

beforeEach(async () => {
  const folder = await temporaryFolder();
  top = path.join(folder, 'top');
  home = path.join(folder, 'home');
  vi.stubEnv('HOME', home);
  vi.stubEnv('XDG_CONFIG_HOME', undefined);
  vi.stubEnv('GIT_CONFIG_GLOBAL', undefined);
  await mkdir(top);
  await mkdir(home);
});

const repository = (...folders: string[]) => mkdir(path.join(top, ...folders, '.git', 'info'), { recursive: true });
const found = async (below = '.', options: Parameters<typeof walked>[1] = {}): Promise<string[]> =>
  (await walked(path.join(top, below), options)).paths;

describe('the files of a folder', () => {
  it('are those of all folders, without hidden ones unless they are asked for, and never those of .git', async () => {
    await repository();
    await writeTree(top, files(['a', 'b/c', '.d', '.e/f', '.git/config', 'b/.g']));
    expect(await found()).toEqual(['a', 'b/c']);
    expect(await found('.', { hidden: true })).toEqual(['.d', '.e/f', 'a', 'b/.g', 'b/c']);
    expect(await found('.e')).toEqual(['f']);
  });

  it('are those that globs leave, whatever is in their names', async () => {
    await writeTree(top, files(['a\n/b.py', 'caf\xe9.py', 'x.py', 'x.js', 'd/\xff.js', '"\'.py']));
    expect(await found('.', { include: ['**/*.py'] })).toEqual(['"\'.py', 'a\n/b.py', 'caf\xe9.py', 'x.py']);
    expect(await found('.', { include: ['café.py', 'd/?.js'] })).toEqual(['caf\xe9.py', 'd/\xff.js']);
    expect(await found('.', { exclude: ['**/*.py', 'd/ÿ.js'] })).toEqual(['x.js']);
  });

  it('are not those behind links, but the folder itself may be one', async () => {
    await writeTree(top, files(['a/b', 'c']));
    await symlink('..', path.join(top, 'a', 'loop'));
    await symlink('c', path.join(top, 'd'));
    await symlink('a', path.join(top, 'e'));
    expect(await found()).toEqual(['a/b', 'c']);
    expect(await found('e')).toEqual(['b']);
  });
});

describe('ignore files', () => {
  it('count in the order of ripgrep: .ignore, .gitignore, info/exclude, the user’s excludes', async () => {
    await repository();
    await writeTree(home, { '.config/git/ignore': 'a\nb\nc\nd\n' });
    await writeTree(top, {
      ...files(['a', 'b', 'c', 'd', 'e']),
      '.git/info/exclude': '!a\nb\nc\ne\n',
      '.gitignore': '!b\nc\n!e\n',
      '.ignore': '!c\ne\n',
    });
    expect(await found()).toEqual(['a', 'b', 'c']);
    expect(await walked(top)).toMatchObject({ ignored: 2, warnings: [] });
    expect(await found('.', { noIgnore: true })).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  it('of folders below and above count, those of git up to the top of the repository', async () => {
    await repository('r');
    await writeTree(top, {
      ...files(['r/s/t/a', 'r/s/t/b', 'r/s/t/c', 'r/s/t/d', 'r/s/t/u/a']),
      '.gitignore': 'd\n',
      '.ignore': 'c\n',
      'r/.gitignore': '/s/t/a\nb\n',
      'r/s/t/u/.gitignore': '!a\n',
    });
    expect(await found('r/s/t')).toEqual(['d', 'u/a']);
    expect(await found()).toEqual(['r/s/t/d', 'r/s/t/u/a']);
    await symlink('r/s/t', path.join(top, 'link'));
    expect(await found('link')).toEqual(['d', 'u/a']);
  });

  it('of git count inside of a repository only, of which one inside another begins anew', async () => {
    await writeTree(top, { ...files(['a', 'b', 'r/a', 'r/b', 'r/n/a', 'r/n/b']), '.gitignore': 'a\n' });
    expect(await found()).toEqual(['a', 'b', 'r/a', 'r/b', 'r/n/a', 'r/n/b']);
    await repository('r');
    await repository('r', 'n');
    await writeTree(top, { 'r/.gitignore': 'b\n' });
    expect(await found()).toEqual(['a', 'b', 'r/a', 'r/n/a', 'r/n/b']);
  });

  it('do not leave out the folder that was named, and bring hidden names back', async () => {
    await repository();
    await writeTree(top, {
      ...files(['node_modules/x/a', 'build/b', '.github/c', '.d']),
      '.gitignore': 'node_modules/\nbuild\n!.github\n',
    });
    expect(await found()).toEqual(['.github/c']);
    expect(await found('node_modules')).toEqual(['x/a']);
    expect(await found('node_modules/x')).toEqual(['a']);
  });

  it('of a worktree and of a submodule are found where its .git file says', async () => {
    await writeTree(top, {
      ...files(['w/a', 'w/b', 's/a', 's/b', 'broken/a']),
      'main/.git/info/exclude': 'a\n',
      'main/.git/worktrees/w/commondir': '../..\n',
      'main/.git/modules/s/info/exclude': 'b\n',
      'w/.git': `gitdir: ${top}/main/.git/worktrees/w\n`,
      's/.git': 'gitdir: ../main/.git/modules/s\n',
      'broken/.git': 'nothing\n',
    });
    expect(await found('.', { exclude: ['main'] })).toEqual(['broken/a', 's/a', 'w/b']);
  });

  it.each([
    ['.gitconfig', '[core]\n\texcludesFile = ~/mine\n'],
    ['.config/git/config', '[core] excludesfile = "~/mine" # so\n'],
  ])('of the user are those that ~/%s names', async (name, content) => {
    await repository();
    await writeTree(top, files(['a', 'b']));
    await writeTree(home, { [name]: content, mine: 'a\n', '.config/git/ignore': 'b\n' });
    expect(await found()).toEqual(['b']);
    vi.stubEnv('GIT_CONFIG_GLOBAL', '/dev/null');
    expect(await walked(top)).toMatchObject({ paths: ['a'], warnings: [] });
    await writeTree(home, { none: '[core]\nexcludesFile = /dev/null\n', relative: '[core]\nexcludesFile = x\n' });
    vi.stubEnv('GIT_CONFIG_GLOBAL', path.join(home, 'none'));
    expect(await walked(top)).toMatchObject({ paths: ['a', 'b'], warnings: [] });
    vi.stubEnv('GIT_CONFIG_GLOBAL', path.join(home, 'relative'));
    expect((await walked(top)).warnings).toMatchObject([
      { message: expect.stringContaining('must be absolute or begin with ~/') as string },
    ]);
  });

  it('make no command of a repository’s configuration run', async () => {
    await repository();
    const mark = path.join(home, 'ran');
    await writeTree(top, {
      ...files(['a', 'b']),
      '.git/config': `[core]\n\tfsmonitor = touch ${mark}\n\texcludesFile = ~/mine\n`,
      '.git/HEAD': 'ref: refs/heads/main\n',
    });
    await writeTree(home, { mine: 'a\n' });
    expect(await found()).toEqual(['a', 'b']);
    expect(() => execFileSync('test', ['-e', mark])).toThrow();
  });
});

describe('a hostile tree', () => {
  it.each([
    ['a folder', 'it is not a regular file', (file: string) => mkdir(file)],
    ['a FIFO', 'it is not a regular file', (file: string) => execFileSync('mkfifo', [file])],
    [
      'a device behind a link',
      'it is a symbolic link, which is not followed',
      (file: string) => symlink('/dev/zero', file),
    ],
    [
      'a link to itself',
      'it is a symbolic link, which is not followed',
      (file: string) => symlink(path.basename(file), file),
    ],
    [
      'huge',
      'with those of the folders above it, it has more than 131072 bytes',
      (file: string) => writeFile(file, Buffer.alloc(131_073, 'a\n')),
    ],
  ])('has a warning where an ignore file is %s, and the rest goes on', async (_, reason, make) => {
    await repository();
    await writeTree(top, { ...files(['a', 'b', 'c/d']), '.ignore': 'b\n' });
    for (const name of ['.gitignore', 'c/.ignore']) await make(path.join(top, name));
    const { paths, warnings } = await walked(top);
    expect(paths).toEqual(['a', 'c/d']);
    expect(warnings).toEqual(
      ['.gitignore', 'c/.ignore'].map((name) => ({
        uri: uriOfPath(Buffer.from(path.join(top, name))),
        message: `${path.join(top, name)} is not used: ${reason}.`,
      })),
    );
  });

  it('has a warning where the .git file, info/exclude or the user’s configuration cannot be used', async () => {
    await writeTree(top, { ...files(['a', 'r/b']), '.git': `gitdir: ${'x'.repeat(8192)}` });
    await mkdir(path.join(top, 'r', '.git', 'info', 'exclude'), { recursive: true });
    await mkdir(path.join(home, '.gitconfig'));
    const { paths, warnings } = await walked(top);
    expect(paths).toEqual(['a', 'r/b']);
    expect(warnings.map(({ message }) => message.replace(/^.*\/(top|home)\//, ''))).toEqual([
      '.git is not used: it has more than 8192 bytes.',
      '.gitconfig is not used: it is not a regular file.',
      'r/.git/info/exclude is not used: it is not a regular file.',
    ]);
  });

  it('has bounded rules: the ignore files of a folder and those above it together, and each line', async () => {
    await repository();
    await writeTree(top, {
      ...files(['a', 'b', 'c/a', 'c/d/b']),
      '.gitignore': `${'#'.repeat(4000)}\n`.repeat(20) + 'x'.repeat(4097) + '\na\n',
      'c/.gitignore': `${'#'.repeat(4000)}\n`.repeat(15) + 'b\n',
      'c/d/.ignore': '#\nb\n',
    });
    const { paths, warnings } = await walked(top);
    expect(paths).toEqual(['b']);
    expect(warnings.map(({ message }) => message.replace(/^.*\/top\//, ''))).toEqual([
      '.gitignore has lines that are longer than a path can be, which are not used: 1.',
      'c/.gitignore is not used: with those of the folders above it, it has more than 131072 bytes.',
    ]);
  });

  it('holds up neither others nor the end of its own request, whatever its patterns are', async () => {
    const lines = ['*a*a*a*a*a*a*a*a*ab', '**/a*/**/*a/**/?a*/**/b', `*${'a'.repeat(120)}b*`, '**/*aaaaaaaaab*/x'];
    const rules = `${lines.join('\n')}\n`.repeat(Math.floor((64 * 1024) / lines.join('\n').length));
    const deep = Array<string>(12).fill('a'.repeat(250)).join('/');
    await writeTree(top, { ...files(['a'.repeat(255), `${deep}/x`, `${deep}/y`]), '.ignore': rules });
    // Processor time between two turns of the event loop: others at work on this machine do not count.
    let longest = 0;
    let last = process.cpuUsage();
    const timer = setInterval(() => {
      const { user, system } = process.cpuUsage(last);
      longest = Math.max(longest, (user + system) / 1000);
      last = process.cpuUsage();
    }, 1);
    const { paths } = await walked(top);
    clearInterval(timer);
    expect(paths).toHaveLength(3);
    expect(longest).toBeLessThan(250);
    const cancelling = new AbortController();
    const cancelled = walked(top, {}, cancelling.signal);
    setTimeout(() => {
      cancelling.abort();
    }, 20);
    await expect(cancelled).rejects.toBeInstanceOf(CancelledError);
  });

  it('may be deeper than a path can be long, and have folders that nobody may read', async () => {
    await writeTree(top, files(['a', 'closed/b']));
    onTestFinished(() => void execFileSync('rm', ['-rf', path.join(top, 'deep')]));
    makeDeep(path.join(top, 'deep'), 21, 'a'.repeat(200));
    await chmod(path.join(top, 'closed'), 0);
    const { paths, warnings } = await walked(top);
    expect(paths.filter((each) => !each.startsWith('closed'))).toEqual(['a']);
    expect(warnings.map(({ message }) => message).join()).toMatch(/cannot be read: ENAMETOOLONG/);
    // Root may read it.
    if (process.getuid?.() !== 0)
      expect(warnings.map(({ message }) => message).join()).toMatch(/closed cannot be read: EACCES/);
    await chmod(path.join(top, 'closed'), 0o755);
  });
});
