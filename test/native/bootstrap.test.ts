// The native programs' command lines, and what valgrind says of them.
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootstrapPath, initProgramPath } from '../../src/base/native.ts';
import { native, runUntilAnswered, runWith } from './tracing.ts';

const execute = promisify(execFile);

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-bootstrap-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const sourcesIn = async (place: string) =>
  (await readdir(place)).filter((name) => name.endsWith('.c')).map((name) => path.join(place, name));

/** Builds a program anew, for valgrind, which knows neither the sanitizers nor a static C library. */
async function underValgrind(name: string, sources: readonly string[]): Promise<string[]> {
  const program = path.join(folder, name);
  await execute('cc', ['-g', '-O1', '-o', program, ...sources]);
  return ['valgrind', '-q', '--error-exitcode=99', '--leak-check=full', program];
}

describe('the native programs', () => {
  it('make no error that valgrind knows', async () => {
    // Not guard and run, nor remove and measure: valgrind does not know pidfd_open and openat2.
    const bootstrap = await underValgrind('bootstrap', await sourcesIn(native));
    const shared = path.join(native, 'program.c');
    const init = await underValgrind('init', [shared, ...(await sourcesIn(path.join(native, 'init')))]);
    const file = path.join(folder, 'file');
    expect(await runUntilAnswered([...bootstrap, 'lock', path.join(folder, 'lock')])).toEqual({
      ...{ status: 0, complaint: '', answer: 'locked\n' },
    });
    await writeFile(file, 'old');
    const put = `file 600 3 ${file.length}\n${file}newfile 600 2 ${file.length + 1}\n${file}2xyend\n`;
    expect(await runWith([...init, 'put'], put)).toEqual({ status: 0, complaint: '', answer: '' });
    expect(await readFile(file, 'utf8')).toBe('new');
    expect(await runWith([...init, 'get', '100', file], '')).toEqual({
      ...{ status: 0, complaint: '', answer: '600\nnew' },
    });
    // With the control channel of process 1 as its descriptor 3.
    const first = ['sh', '-c', 'exec 3<>"$0"; exec "$@"', '/dev/null', ...init, '--', '/bin/true'];
    expect((await runWith(first, '')).complaint).toBe('');
  });

  it.each([
    [['guard'], /guard needs --directory/],
    [['guard', '--directory'], /--directory needs a value/],
    [['guard', '--uids', '5'], /a range of ids is FIRST:COUNT/],
    [['guard', '--magic', 'x'], /does not know the option --magic/],
    [['run'], /run needs --/],
    [['run', '--'], /a command line after --/],
    [['run', '--rootfs', '/x', '--', 'runc'], /does not know the option --rootfs/],
    [['remove'], /usage: bootstrap remove PATH/],
    [['remove', 'relative'], /remove needs an absolute path/],
    [['remove', '/tmp/'], /remove needs an absolute path/],
    [['remove', '/tmp/..'], /remove needs an absolute path/],
    [['measure', '1', '/tmp'], /usage: bootstrap measure FILES BYTES FOLDER/],
    [['measure', '1', 'much', '/tmp'], /BYTES is a number/],
    [['hangup', 'now'], /usage: bootstrap hangup/],
    [['dance'], /usage: bootstrap guard/],
    [[], /usage: bootstrap guard/],
  ])('refuse wrong usage: bootstrap %j', async (args, message) => {
    const { status, complaint } = await runWith([bootstrapPath(), ...args], '');
    expect(status).toBe(2);
    expect(complaint).toMatch(message);
  });

  it.each([
    [[], /init needs --/],
    [['--'], /init needs --/],
    [['--data', 'much', '--', 'x'], /--data is a number/],
    [['--magic', '--', 'x'], /does not know the option --magic/],
    [['put', 'x'], /put takes -- and a command/],
    [['get', '5'], /get needs a size and a path/],
    [['get', 'much', '/x'], /the size is a number/],
  ])('refuse wrong usage: init %j', async (args, message) => {
    const { status, complaint } = await runWith([initProgramPath(), ...args], '');
    expect(status).toBe(2);
    expect(complaint).toMatch(message);
  });
});
