// Removing what anybody may have made: deep, wide, closed, with any bytes for names; and what nobody can remove.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as passed } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootstrapPath } from '../../src/base/native.ts';
import { makeDeep } from '../support/deep-folders.ts';
import { makeImmutable } from '../support/immutable.ts';
import { isRoot } from '../support/privileges.ts';
import { environment, faultsOf, runQuietly, sanitized, trace, type Result, type Scenario } from './tracing.ts';

let folder: string;
let tree: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-remove-'));
  tree = path.join(folder, 'tree');
  await mkdir(tree);
});
afterEach(() => rm(folder, { recursive: true }));

/** As long as the removal of some ten thousand folders takes on a slow disk. */
const longMs = 60_000;

const remove = (target = tree) => runQuietly([bootstrapPath(), 'remove', target], longMs);
const gone: Result = { status: 0, complaint: '', answer: '' };

/** A bit of everything; nothing of it is told of where all of it can be removed. */
async function fill(): Promise<void> {
  for (const inner of ['a/b/c', 'a/0/1', '0/0', 'closed/inner', 'empty']) {
    await mkdir(path.join(tree, inner), { recursive: true });
  }
  for (const file of ['a/b/c/file', 'a/0/1/file', '0/0/file', 'closed/inner/file', '1']) {
    await writeFile(path.join(tree, file), 'x');
  }
  await symlink('/etc', path.join(tree, 'a', 'link'));
  await chmod(path.join(tree, 'closed', 'inner'), 0o000);
  await chmod(path.join(tree, 'closed'), 0o500);
}

/** Whoever runs this, with all rights or without any. */
const users: readonly { who: string; command: readonly string[] }[] = [
  { who: isRoot ? 'root' : 'an ordinary user', command: [] },
  ...(isRoot
    ? [
        {
          who: 'an ordinary user',
          command: ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', '--inh-caps=-all'],
        },
      ]
    : []),
];

describe.each(users)('$who removes', ({ command }) => {
  const removeAs = () => runQuietly([...command, bootstrapPath(), 'remove', tree], longMs);
  beforeEach(async () => {
    await chmod(folder, 0o777);
  });
  const give = () => {
    if (command.length > 0) execFileSync('chown', ['-R', '-h', '65534:65534', tree]);
  };

  it('files, links, closed folders, and folders with names that it gives itself', async () => {
    await fill();
    give();
    expect(await removeAs()).toEqual(gone);
    expect(await readdir(folder)).toEqual([]);
  });

  it('folders of any depth, with names of any bytes', async () => {
    makeDeep(path.join(tree, 'deep'), 10_000);
    await expect(rm(tree, { recursive: true })).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
    await mkdir(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0x0a, 0x80])]));
    give();
    expect(await removeAs()).toEqual(gone);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe('a removal', () => {
  it('takes a file, a link but not what that leads to, and nothing where nothing is', async () => {
    const [file, link] = [path.join(folder, 'file'), path.join(folder, 'link')];
    await writeFile(file, 'x');
    await symlink(tree, link);
    expect(await remove(file)).toEqual(gone);
    expect(await remove(link)).toEqual(gone);
    expect(await remove(link)).toEqual(gone);
    expect(await remove(path.join(folder, 'none', 'none'))).toEqual(gone);
    expect(await readdir(folder)).toEqual(['tree']);
  });

  it('of many files and folders takes a constant number of descriptors, and little memory', async () => {
    const wide = path.join(tree, 'wide', 'wide');
    await mkdir(wide, { recursive: true });
    for (let index = 0; index < 5000; index += 1) {
      await writeFile(path.join(wide, `f${index}`), '');
      await mkdir(path.join(wide, `d${index}`));
    }
    makeDeep(path.join(tree, 'deep'), 2000);
    // Sanitizers reserve a part of the address space.
    const memory = sanitized ? [] : ['--as=4000000'];
    const bounded = ['prlimit', '--nofile=10', ...memory, bootstrapPath(), 'remove', tree];
    expect(await runQuietly(bounded, longMs)).toEqual(gone);
  });

  it.runIf(isRoot)(
    'leaves what is immutable, and what is mounted, tells of both, and takes all else',
    async (context) => {
      await fill();
      const elsewhere = path.join(folder, 'elsewhere');
      await mkdir(elsewhere);
      await writeFile(path.join(elsewhere, 'secret'), '');
      const refused = makeImmutable(path.join(tree, 'a', 'b', 'c', 'file'));
      if (refused !== undefined) context.skip(refused);
      execFileSync('mount', ['--bind', elsewhere, path.join(tree, 'empty')]);
      try {
        const { status, complaint } = await remove();
        expect(status).toBe(1);
        const lines = complaint.trimEnd().split('\n').sort();
        expect(lines).toEqual([
          expect.stringMatching(/^bootstrap: cannot remove [0-9]+\/file \(EPERM\): /),
          expect.stringMatching(/^bootstrap: cannot remove empty \(EXDEV\): /),
        ]);
        expect(await readdir(elsewhere)).toEqual(['secret']);
        const left = await readdir(tree, { recursive: true });
        expect(left.filter((name) => name.endsWith('file'))).toHaveLength(1);
      } finally {
        execFileSync('umount', [path.join(tree, 'empty')]);
        execFileSync('chattr', ['-R', '-f', '-i', tree]);
      }
      expect(await remove()).toEqual(gone);
      expect(await readdir(folder)).toEqual(['elsewhere']);
    },
  );

  it('goes on with what another left that was killed', async () => {
    for (let delay = 0; delay < 40; delay += 5) {
      makeDeep(path.join(tree, 'deep'), 1000);
      const child = spawn(bootstrapPath(), ['remove', tree], { stdio: ['pipe', 'ignore', 'ignore'], env: environment });
      const ended = once(child, 'exit');
      await passed(delay);
      child.kill('SIGKILL');
      await ended;
      expect(await remove()).toEqual(gone);
      await mkdir(tree);
    }
  });

  it('ends with whoever asked for it', async () => {
    makeDeep(path.join(tree, 'deep'), 3000);
    // Tells the process's id, and dies of its own hand while the removal runs.
    const parent = `const { spawn } = require('node:child_process');
const child = spawn(${JSON.stringify(bootstrapPath())}, ['remove', ${JSON.stringify(tree)}], { stdio: 'pipe', detached: true });
require('node:fs').writeSync(1, String(child.pid));
process.kill(process.pid, 'SIGKILL');`;
    const { answer } = await runQuietly([process.execPath, '-e', parent]);
    await expect
      .poll(() => {
        try {
          return process.kill(Number(answer), 0);
        } catch {
          return false;
        }
      })
      .toBe(false);
    expect(await readdir(folder)).toEqual(['tree']);
    expect(await remove()).toEqual(gone);
  });

  it('leaves a folder to another process that is removing it', async () => {
    await fill();
    const other = spawn('flock', ['--no-fork', tree, 'sh', '-c', 'echo held; read end'], { stdio: 'pipe' });
    await once(other.stdout, 'data');
    expect(await remove()).toEqual(gone);
    expect(await readdir(folder)).toEqual(['tree']);
    const ended = once(other, 'exit');
    other.stdin.end('\n');
    await ended;
    expect(await remove()).toEqual(gone);
    expect(await readdir(folder)).toEqual([]);
  });

  it('whose system calls fail says so or tries again, and leaves no more than the next one removes', async () => {
    const scenario: Scenario = async (command) => {
      await mkdir(tree, { recursive: true });
      await fill();
      return await runQuietly([...command, 'remove', tree]);
    };
    const log = path.join(folder, 'trace');
    const faults = await faultsOf(scenario, log);
    if (!sanitized) {
      for (const call of ['openat2', 'fchmod', 'flock', 'getdents64', 'renameat2', 'unlinkat']) {
        expect(faults).toContainEqual({ call, when: 1 });
      }
    }
    for (const fault of faults) {
      const { status, complaint } = await trace(scenario, log, fault);
      const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}`;
      if (status === 0) expect(await readdir(folder), where).toEqual(['trace']);
      else
        expect({ status, told: /^bootstrap: cannot .*\(ENOMEM\)/.test(complaint) }, where).toEqual({
          status: 1,
          told: true,
        });
      expect(await remove(), where).toEqual(gone);
    }
  });
});
