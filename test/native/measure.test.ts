// Measuring what a container fills meanwhile: deep, closed, with files that have several names, and on the move.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, link, lstat, mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootstrapPath } from '../../src/base/native.ts';
import { makeDeep } from '../support/deep-folders.ts';
import { isRoot } from '../support/privileges.ts';
import { faultsOf, runQuietly, trace, type Scenario } from './tracing.ts';

/** As long as measuring or removing ten thousand folders takes on a slow disk. */
const longMs = 60_000;

let folder: string;
let tree: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-measure-'));
  tree = path.join(folder, 'tree');
  await mkdir(tree);
});
afterEach(async () => {
  expect(await runQuietly([bootstrapPath(), 'remove', folder], longMs)).toMatchObject({ status: 0, complaint: '' });
});

const most = ['1000000', '1000000000000'] as const;
const measure = (files: string = most[0], bytes: string = most[1]) =>
  runQuietly([bootstrapPath(), 'measure', files, bytes, tree], longMs);

/** As du(1) has it, which counts the folder itself as one of its files. */
function byDu(): string {
  const [files = '', bytes = ''] = ['--inodes', '--block-size=1'].map(
    (option) => execFileSync('du', ['-s', option, tree], { encoding: 'utf8' }).split('\t')[0] ?? '',
  );
  return `${Number(files) - 1} ${bytes}\n`;
}

/** Files, links, and a file with three names. */
async function fill(): Promise<void> {
  await mkdir(path.join(tree, 'a', 'b'), { recursive: true });
  await mkdir(path.join(tree, 'c'));
  for (const file of ['a/b/x', 'a/x', 'c/x']) await writeFile(path.join(tree, file), 'x'.repeat(50_000));
  for (const name of ['a/y', 'c/y']) await link(path.join(tree, 'a', 'b', 'x'), path.join(tree, name));
  await symlink('/etc', path.join(tree, 'link'));
}

describe('a folder', () => {
  it('is measured with what is in it, a file with several names as one', async () => {
    await fill();
    expect(await measure()).toEqual({ status: 0, complaint: '', answer: byDu() });
    const { blocks } = await lstat(path.join(tree, 'c', 'x'));
    expect(blocks).toBeGreaterThan(0);
  });

  it('is measured however deep and wide it is, with few descriptors', async () => {
    makeDeep(path.join(tree, 'deep'), 10_000);
    for (let index = 0; index < 2000; index += 1) await writeFile(path.join(tree, `file ${index}`), '');
    const bounded = ['prlimit', '--nofile=10', bootstrapPath(), 'measure', ...most, tree];
    expect(await runQuietly(bounded, longMs)).toEqual({ status: 0, complaint: '', answer: byDu() });
  });

  it.runIf(isRoot)('is measured as root whatever modes are in it', async () => {
    await fill();
    const answer = byDu();
    for (const closed of ['a/b', 'a', 'c']) await chmod(path.join(tree, closed), 0);
    expect(await measure()).toEqual({ status: 0, complaint: '', answer });
  });

  it('is measured no further than to its limits', async () => {
    for (let index = 0; index < 500; index += 1) await writeFile(path.join(tree, `file ${index}`), 'x');
    const files = async (...limits: string[]) => Number((await measure(...limits)).answer?.split(' ')[0]);
    expect(await files('500')).toBe(500);
    expect(await files('499')).toBe(500);
    expect(await files('10')).toBe(11);
    expect(await files('1000', '100000')).toBeLessThan(100);
  });

  it('is measured while folders in it are moved, with which du(1) gives up', async () => {
    const moved = path.join(tree, 'a', ...Array.from({ length: 60 }, () => 'a'));
    await mkdir(path.join(moved, 'a', 'b', 'c', 'd'), { recursive: true });
    for (const levels of [0, 1, 2, 3, 4]) {
      const parent = path.join(moved, ...['a', 'b', 'c', 'd'].slice(0, levels));
      for (let index = 0; index < 500; index += 1) await mkdir(path.join(parent, `folder ${index}`));
    }
    await mkdir(path.join(tree, 'z'));
    const script = `const { renameSync } = require('node:fs');
const [from, to] = process.argv.slice(1);
process.stdout.write('moving');
for (;;) { renameSync(from, to); renameSync(to, from); }`;
    const mover = spawn(process.execPath, ['-e', script, path.join(moved, 'a'), path.join(tree, 'z', 'a')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(mover, 'exit');
    try {
      await once(mover.stdout, 'data');
      await expect.poll(async () => (await runQuietly(['du', '-s', tree])).answer, { interval: 0 }).toBe('');
      let largest = 0;
      const look = async () => {
        const { status, complaint, answer = '' } = await measure();
        expect({ status, complaint }).toEqual({ status: 0, complaint: '' });
        return (largest = Math.max(largest, Number(answer.split(' ')[0])));
      };
      for (let round = 0; round < 50; round += 1) await look();
      // All of it, if not every time.
      await expect.poll(look, { interval: 0 }).toBeGreaterThanOrEqual(2500);
    } finally {
      mover.kill('SIGKILL');
      await ended;
    }
    expect(await measure()).toEqual({ status: 0, complaint: '', answer: byDu() });
  });

  it('whose measuring fails is told of, not measured wrongly', async () => {
    await fill();
    const log = path.join(folder, 'trace');
    const scenario: Scenario = (command) => runQuietly([...command, 'measure', ...most, tree]);
    const { answer } = await scenario(['env', bootstrapPath()]);
    for (const fault of await faultsOf(scenario, log)) {
      const result = await trace(scenario, log, fault);
      const where = `${fault.call} ${fault.when}: status ${result.status}, ${result.complaint}`;
      if (result.status === 0) expect(result.answer, where).toBe(answer);
      else expect(result.complaint, where).toMatch(/^bootstrap: cannot .*\(ENOMEM\)/);
    }
  });
});
