// What a walk leaves out is what git itself ignores: real git judges the same files by the same rules. It runs in folders
// that this test makes only; the host never runs it.
import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { excludesFileOf } from '../../../src/drivers/walk/git-folders.ts';
import { makeTemporaryFolder, removeFolder } from '../../support/temporary-folder.ts';
import { files, walked, writeTree } from './tree.ts';

const run = promisify(execFile);

let folder: string;
let repository: string;
let home: string;

const names = ['a', 'b', 'ab', '.a', 'a b', 'b.c', 'a]', '-', 'b\\', '\xe9', '!a', '#', 'A', 'a\nb'];
const folders = ['', 'a/', 'b/', 'ab/', 'a/b/', 'b/a/', 'a/b/a/', 'a/a/ab/', '.a/'].map((each) =>
  each.replaceAll('/', '_/'),
);

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  home = path.join(folder, 'home');
  repository = path.join(folder, 'repository');
  await mkdir(path.join(home, '.config', 'git'), { recursive: true });
  vi.stubEnv('HOME', home);
  vi.stubEnv('XDG_CONFIG_HOME', undefined);
  vi.stubEnv('GIT_CONFIG_GLOBAL', undefined);
  vi.stubEnv('GIT_CONFIG_NOSYSTEM', '1');
  await run('git', ['init', '--quiet', '--template=', repository]);
  await mkdir(path.join(repository, '.git', 'info'));
  await writeTree(repository, files(folders.flatMap((each) => names.map((name) => each + name))));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await removeFolder(folder);
});

const places = {
  top: () => path.join(repository, '.gitignore'),
  below: () => path.join(repository, 'a_', '.gitignore'),
  deeper: () => path.join(repository, 'a_', 'b_', '.gitignore'),
  exclude: () => path.join(repository, '.git', 'info', 'exclude'),
  user: () => path.join(home, '.config', 'git', 'ignore'),
};
type Rules = { readonly [Place in keyof typeof places]?: readonly string[] | undefined };

async function writeRules(rules: Rules): Promise<void> {
  for (const [place, file] of Object.entries(places)) {
    const lines = rules[place as keyof typeof places];
    if (lines === undefined) await rm(file(), { force: true });
    else await writeFile(file(), lines.join('\n'), 'latin1');
  }
}

async function keptByGit(): Promise<string[]> {
  const { stdout } = await run('git', ['ls-files', '-z', '--others', '--exclude-standard'], {
    cwd: repository,
    encoding: 'latin1',
  });
  return stdout.split('\0').slice(0, -1).sort();
}

async function expectAsGit(rules: Rules): Promise<void> {
  await writeRules(rules);
  const kept = await keptByGit();
  expect((await walked(repository, { hidden: true })).paths, JSON.stringify(rules)).toEqual(kept);
}

describe('the files that a walk leaves out', () => {
  it.each([
    'a',
    '/a',
    'a/',
    'a_/',
    'a_/b',
    '**/b',
    'a_/**',
    'a_/**/a',
    '/**/b_/a',
    '**/b_/**',
    '**',
    '**/',
    '/**',
    '***',
    '*',
    '*b',
    'a*',
    'a_/*',
    '*/a',
    '*/*/a',
    'b?c',
    '?',
    '[ab]',
    '[!ab]',
    '[^ab]',
    '[a-b]*',
    '[b-a]',
    '[]-]',
    'a]',
    'a[]]',
    '[[:upper:]]',
    '[[:nothing:]]',
    '[[:alpha:]_]*[[:punct:]]/',
    '[a',
    'a_[/]a',
    '\\a',
    '\\!a',
    '!a',
    '\\#',
    '#',
    'b\\',
    'b\\\\',
    'a b  ',
    'a\\ b\\ ',
    'a\t',
    '\xe9',
    '[\xe0-\xf0]',
    '\xc3\xa9',
    'a\r',
    '\xef\xbb\xbfa',
    'a\0b',
    '//a',
    '/',
    '',
    'a_//b',
    '-',
    'a_/b_/../a',
    './a',
  ])('of the rule %j are those that git leaves out', async (rule) => {
    await expectAsGit({ top: [rule] });
    await expectAsGit({ top: ['*', '!*_/', `!${rule}`] });
  });

  it('are the same where several files have rules: the nearest decides, and the last line of each', async () => {
    await expectAsGit({ top: ['b', '!a_/b'], below: ['/b_/', '!b'], user: ['a'], exclude: ['!a', 'ab'] });
    await expectAsGit({ top: ['a_'], below: ['!b'], deeper: ['!a'] });
    await expectAsGit({ top: ['/a_/*', '!/a_/b_'], deeper: ['*', '!a'], user: ['.a', '/ab'] });
  });

  it('are the same for any rules', async () => {
    const piece = fc.constantFrom(
      ...['a', 'b', 'ab', '_', '_/', '/', '*', '**', '**/', '/**/', '?', '.', '-', '!', ' ', '#', '\xe9', '\n'],
      ...['\\', '\\a', '[', ']', '[ab]', '[!a]', '[^b', '[a-', '-b]', '[[:alnum:]]', '[[:', ':]]', '[]', '[/]', '\r'],
    );
    const rule = fc.array(piece, { minLength: 1, maxLength: 6 }).map((pieces) => pieces.join(''));
    // Git before 2.50 takes `**` after a literal beginning for a whole name: it let `foo**/bar` match `foobar`.
    const plain = rule.filter((text) => !/(^|\n)[^*?[\\\n]*[^*?[\\/\n]\*\*/.test(text));
    const lines = fc.option(fc.array(plain, { minLength: 1, maxLength: 4 }), { nil: undefined });
    const rules = fc.record({ top: lines, below: lines, deeper: lines, exclude: lines, user: lines });
    await fc.assert(fc.asyncProperty(rules, expectAsGit), { numRuns: Number(process.env['FUZZ'] ?? 60) });
  });
});

describe('the user’s configuration', () => {
  const file = (): string => path.join(home, '.gitconfig');
  afterEach(() => rm(file(), { force: true }));

  it('is read as git reads it', async () => {
    const piece = fc.constantFrom(
      ...['[core]', '[CORE]', '[core "x"]', '[other]', 'excludesFile', 'EXCLUDESFILE', 'excludesfile=', '=', '\n'],
      // Git before 2.45 makes a space of a tab inside of a value.
      ...[' ', '~/x', '/y', '"', '\\"', '\\\\', '\\\n', '\\t', '#', ';', 'excludesFile = ', '\r\n', 'z = 1'],
    );
    const text = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(''));
    let read = 0;
    await fc.assert(
      fc.asyncProperty(text, async (content) => {
        await writeFile(file(), content);
        const asked = await run('git', ['config', '--file', file(), '-z', '--get', 'core.excludesFile']).catch(
          (error: unknown) => error as { readonly code: number },
        );
        // 1: there is none. Others: git refuses the file, and so all work, as it does for a name without a value.
        if ('code' in asked ? asked.code !== 1 : asked.stdout === '\0' && excludesFileOf(content) === undefined) return;
        read += 1;
        expect(excludesFileOf(content)).toBe('code' in asked ? undefined : asked.stdout.slice(0, -1));
      }),
      { numRuns: Number(process.env['FUZZ'] ?? 100) },
    );
    expect(read).toBeGreaterThan(10);
  });
});
