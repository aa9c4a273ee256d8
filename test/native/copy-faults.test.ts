// Every system call with which files are copied into containers and out of them, and with which locks are taken, fails
// in turn: a fault is told, and leaves either all that was there or all that was to come.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootstrapPath, initProgramPath } from '../../src/base/native.ts';
import { faultsOf, runUntilAnswered, runWith, sanitized, trace, type Scenario } from './tracing.ts';

const program = initProgramPath();

let folder: string;
let log: string;
let files: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-copy-'));
  log = `${folder}.trace`;
  files = folder;
});

afterEach(async () => {
  await rm(folder, { recursive: true });
  await rm(log, { force: true });
});

/** The folder's files with their contents. */
async function contents(): Promise<Record<string, string>> {
  const names = (await readdir(files)).sort();
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(path.join(files, name), 'utf8')] as const)),
  );
}

const record = (name: string, content: string) => {
  const file = path.join(files, name);
  return `file 640 ${content.length} ${file.length}\n${file}${content}`;
};

const before = { kept: 'as it was', replaced: 'old' };
const after = { kept: 'as it was', replaced: 'new', third: 'and more', wholly: 'x'.repeat(100_000) };

async function reset(): Promise<void> {
  for (const name of await readdir(files)) await rm(path.join(files, name));
  for (const [name, content] of Object.entries(before)) await writeFile(path.join(files, name), content);
}

/** Files that are put, and a command that has the rest of stdin. */
const put: Scenario = async (command) => {
  await reset();
  const records = ['replaced', 'third', 'wholly'].map((name) => record(name, after[name as keyof typeof after]));
  return runWith([...command, 'put', '--', '/bin/cat'], `${records.join('')}end\nfor the command`);
};

const get: Scenario = (command) => runWith([...command, 'get', '1000', path.join(folder, 'kept')], '');

const lock: Scenario = (command) => runUntilAnswered([...command, 'lock', '--try', path.join(folder, 'lock')]);

describe('files whose putting fails', () => {
  it('are all there, or none is and all is as it was', async () => {
    const faults = await faultsOf(put, log, { program });
    expect((await put(['env', program])).answer).toBe('placed\nfor the command');
    expect(await contents()).toEqual(after);
    if (!sanitized) expect(faults.filter(({ call }) => call === 'renameat2')).toHaveLength(5);
    for (const fault of faults) {
      const { status, complaint, answer = '' } = await trace(put, log, fault, { program });
      const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}`;
      const found = await contents();
      expect(status, where).not.toBe(null);
      if (fault.call === 'unlink') {
        // The old content is left beside the new.
        expect(complaint, where).toMatch(/cannot remove what was replaced \(ENOMEM\)/);
        expect(found, where).toMatchObject(after);
      } else if (answer.startsWith('placed')) {
        // Of what comes after that, only the command may fail.
        expect(found, where).toEqual(after);
        if (status !== 0) expect(complaint, where).toMatch(/^init: cannot execute .*\(ENOMEM\)|cat: /);
      } else {
        expect(complaint, where).toMatch(/^init: cannot .*\(ENOMEM\)/);
        expect(status, where).toBe(1);
        // The files are there already when the host cannot be told so.
        if (!complaint.includes('cannot say')) expect(found, where).toEqual(before);
      }
    }
  });

  it('are all as they were where one of several cannot be', async () => {
    await reset();
    const impossible = `file 640 1 ${'/no/such/folder'.length}\n/no/such/folderx`;
    const result = await runWith([program, 'put'], `${record('replaced', 'new')}${impossible}end\n`);
    expect(result).toMatchObject({ status: 1, complaint: expect.stringMatching(/\(ENOENT\)/) as string });
    expect(await contents()).toEqual(before);
  });

  it.each([
    ['file 640 3', /a header is too long|is no header of a file|ended too early/],
    ['file 640 3 -1\n', /is no header of a file|find memory/],
    ['file 640 3 5000\n', /is no header of a file/],
    ['file 640 3 4\nhereabc', /a path is not absolute/],
    ['x'.repeat(200), /a header is too long/],
    ['file 640 10 2\n/x', /ended too early|cannot write/],
  ])('are refused where the request is wrong: %j', async (input, message) => {
    const { status, complaint } = await runWith([program, 'put'], input);
    expect(status).toBe(1);
    expect(complaint).toMatch(message);
    expect(await contents()).toEqual({});
  });
});

describe('a file whose getting fails', () => {
  it('is told of', async () => {
    await reset();
    const faults = await faultsOf(get, log, { program });
    const whole = await get(['env', program]);
    expect(whole).toEqual({ status: 0, complaint: '', answer: '644\nas it was' });
    for (const fault of faults) {
      const { status, complaint, answer } = await trace(get, log, fault, { program });
      const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}`;
      if (status === 0) expect(answer, where).toBe(whole.answer);
      else
        expect({ status, told: /^init: cannot .*\(ENOMEM\)\n?/.test(complaint) }, where).toEqual({
          status: 1,
          told: true,
        });
    }
  });
});

describe('a lock whose taking fails', () => {
  it('is told of, and not held', async () => {
    const faults = await faultsOf(lock, log);
    for (const fault of faults) {
      const { status, complaint, answer } = await trace(lock, log, fault);
      const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}`;
      if (status === 0) expect(answer, where).toBe('locked\n');
      else
        expect({ status, told: /^bootstrap: cannot .*\(ENOMEM\)/.test(complaint) }, where).toEqual({
          status: 1,
          told: true,
        });
      expect(await lock(['env', bootstrapPath()]), where).toMatchObject({ status: 0, answer: 'locked\n' });
    }
  });
});
