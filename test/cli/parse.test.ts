// parse: a file, stdin, several files and folders, on a terminal and in a pipe.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { buildScriptDriver, cataloguedImage } from '../support/driver-images.ts';
import { collect, runOnTerminal, runProgram, startProgram } from '../support/program.ts';
import { mainProgram } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

/** A driver whose trees are large, and which hangs or dies where the source says so. */
const script = `
while IFS= read -r line; do
  case "$line" in
    *hang*) busybox sleep 1000 ;;
    *die*) exit 3 ;;
  esac
  printf '{"status":"ok","errors":[],"ast":{"type":"Large","text":"%500000s"}}\\n' x
done`;

interface Line {
  readonly uri: string;
  readonly language: string | null;
  readonly status: string;
  readonly errors: readonly { message: string; line?: number }[];
  readonly uast: unknown;
  readonly error?: { data: { kind: string } };
}

let folder: string;
let root: string;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  root = path.join(folder, 'root');
  const large = await buildScriptDriver(folder, { language: 'large', script });
  const python = cataloguedImage(inject('catalogue'), 'python');
  expect(await runProgram(['driver', 'install', large, python, '--root', root])).toMatchObject({ status: 0 });
  await mkdir(path.join(folder, 'sources', 'deeper'), { recursive: true });
  const files = {
    'good.py': 'x = "Grüße"\n',
    'bad.py': 'def (:\n',
    'deeper/more.py': 'y = 2\n',
    'README.md': '# no driver for this\n',
    'latin1.py': Buffer.from('name = "Gr\xfc\xdfe"\n', 'latin1'),
  };
  for (const [name, content] of Object.entries(files)) await writeFile(path.join(folder, 'sources', name), content);
});

afterAll(async () => {
  await removeFolder(folder);
});

const source = (...names: string[]): string => path.join(folder, 'sources', ...names);
const run = (args: readonly string[], input?: string | Uint8Array) =>
  runProgram(['parse', ...args, '--root', root], input === undefined ? {} : { input });
const linesOf = (stdout: string): Line[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

/** A folder of `count` sources of the large driver's, found by their modelines. */
async function manySources(name: string, count: number): Promise<string> {
  const many = path.join(folder, name);
  await mkdir(many);
  for (let each = 0; each < count; each += 1) await writeFile(path.join(many, `${each}.large`), 'x');
  return many;
}

describe('parse of a file', () => {
  it('starts no driver where a protection that is required is not in force', async () => {
    const { status, stdout, stderr } = await run([source('good.py'), '--require', 'seccomp,magic']);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/'magic' is required, but there is no such protection: those are memory,/);
    expect(await run([source('good.py'), '--require', 'seccomp'])).toMatchObject({ status: 0, stderr: '' });
  });

  it('prints one line of JSON in a pipe, the tree as the driver wrote it', async () => {
    const { status, stdout, stderr } = await run([source('good.py')]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout.trimEnd()).not.toContain('\n');
    expect(JSON.parse(stdout)).toMatchObject({
      uri: pathToFileURL(source('good.py')).href,
      language: 'python',
      status: 'ok',
      errors: [],
      uast: { _type: 'Module', body: [{ _type: 'Assign', value: { value: 'Grüße' } }] },
    });
  });

  it('prints a tree with --format tree: types, values, places, down to --depth', async () => {
    const { status, stdout } = await run([source('good.py'), '--format', 'tree']);
    expect(status).toBe(0);
    expect(stdout).toMatch(/python · ok/);
    expect(stdout).toContain('Module');
    expect(stdout).toMatch(/^ +value: Constant .*value="Grüße" 1:5-1:/m);
    const shallow = await run([source('good.py'), '--format', 'tree', '--depth', '1']);
    expect(shallow.stdout).toContain('--depth shows more');
    expect(shallow.stdout).not.toContain('Constant');
  });

  it('prints a coloured tree on a terminal', async () => {
    const environment = { NO_COLOR: undefined };
    const { status, stdout } = await runOnTerminal(['parse', source('good.py'), '--root', root], { environment });
    expect(status).toBe(0);
    expect(stdout).toContain('\u001b[36mModule');
  });

  it('takes a source with syntax errors for a result, and for a failure only with --strict', async () => {
    const { status, stdout } = await run([source('bad.py')]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'error', errors: [{ line: 1 }] });
    expect((await run([source('bad.py'), '--strict'])).status).toBe(1);
    expect((await run([source('bad.py'), '--format', 'tree'])).stdout).toMatch(/bad\.py:1:\d+: error: /);
  });

  it('fails with a sentence and a kind where there is no result', async () => {
    for (const [args, kind] of [
      [[source('none.py')], 'notFound'],
      [[source('README.md')], 'driverNotInstalled'],
      [[source('latin1.py')], 'invalidEncoding'],
      [[source('good.py'), '--mode', 'semantic'], 'modeNotSupported'],
      [[source('good.py'), '--language', 'cobol'], 'driverNotInstalled'],
      [[source('good.py'), '--max-content-bytes', '3'], 'contentTooLarge'],
    ] as const) {
      const { status, stdout, stderr } = await run(args);
      expect({ kind, status, stdout }).toEqual({ kind, status: 1, stdout: '' });
      expect(stderr).toMatch(new RegExp(`^babelhost: .*\\. \\(${kind}\\)\\n$`));
    }
  });

  it('gives up after --timeout', async () => {
    const { status, stderr } = await run(['-', '--language', 'large', '--timeout', '1s'], 'hang');
    expect(status).toBe(1);
    expect(stderr).toContain('(timeout)');
  });

  it('reads stdin for -, named by --filename or --language', async () => {
    const named = await run(['-', '--filename', 'x.py'], 'z = 3\n');
    expect(JSON.parse(named.stdout)).toMatchObject({ uri: 'x.py', language: 'python', status: 'ok' });
    expect(await run(['-', '--language', 'python'], Buffer.from([0x80]))).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('(invalidEncoding)') as string,
    });
    expect(await run(['-', '--language', 'python', '--max-content-bytes', '10'], 'x'.repeat(11))).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('(contentTooLarge)') as string,
    });
    expect((await run(['-', source('good.py')], 'x')).status).toBe(2);
  });
});

describe('parse of folders and several files', () => {
  it('writes NDJSON to a pipe, a line a file, each with the same members; a summary to stderr; fails if a file did', async () => {
    const { status, stdout, stderr } = await run([source()]);
    expect(status).toBe(1);
    const lines = linesOf(stdout).sort((a, b) => a.uri.localeCompare(b.uri));
    expect(lines.map(({ uri, status }) => [path.basename(uri), status])).toEqual([
      ['bad.py', 'error'],
      ['more.py', 'ok'],
      ['good.py', 'ok'],
      ['latin1.py', 'failed'],
    ]);
    for (const line of lines) {
      for (const member of ['uri', 'language', 'status', 'errors', 'uast']) expect(line).toHaveProperty(member);
    }
    expect(lines[3]).toMatchObject({ uast: null, error: { data: { kind: 'invalidEncoding' } } });
    expect(stderr).toMatch(
      /^4 files \(.*\) in .*: 2 ok, 1 with errors, 1 failed \(invalidEncoding 1\); 1 skipped \([\w-]+ 1\)\n$/,
    );
  });

  it('writes to a file what it writes to a pipe, after what the file has', async () => {
    const file = path.join(folder, 'trees.ndjson');
    await writeFile(file, 'before\n');
    const command = [process.execPath, mainProgram, 'parse', source(), '--root', root];
    // One of the files fails.
    await promisify(execFile)('sh', ['-c', '"$@" >>"$0" || test $? = 1', file, ...command]);
    const [first, ...lines] = (await readFile(file, 'utf8')).trimEnd().split('\n');
    expect(first).toBe('before');
    const piped = linesOf((await run([source()])).stdout);
    const ofFile = lines.map((line) => JSON.parse(line) as Line);
    const trees = (all: readonly Line[]) => new Map(all.map(({ uri, uast }) => [uri, uast]));
    expect(trees(ofFile)).toEqual(trees(piped));
  });

  it('takes --include and --exclude, and several paths', async () => {
    const { status, stdout } = await run([source(), '--include', '**/*.py', '--exclude', '{bad,latin1}.py']);
    expect(status).toBe(0);
    expect(linesOf(stdout)).toHaveLength(2);
    const several = await run([source('good.py'), source('deeper'), '--json']);
    expect(several).toMatchObject({ status: 0, stderr: '' });
    expect(linesOf(several.stdout)).toHaveLength(2);
  });

  it('writes a JSON array with --format json', async () => {
    const { stdout } = await run([source('good.py'), source('bad.py'), '--format', 'json']);
    expect(JSON.parse(stdout)).toHaveLength(2);
  });

  it('shows a bar and what is wrong on a terminal', async () => {
    const { status, stdout } = await runOnTerminal(['parse', source(), '--root', root], { cwd: folder });
    expect(status).toBe(1);
    expect(stdout).toMatch(/sources\/bad\.py:1:\d+: .*error:/);
    expect(stdout).toMatch(/sources\/latin1\.py: .*failed:/);
    expect(stdout).toMatch(/4 files/);
    expect(stdout).not.toContain('_type');
  });

  it('does not run ahead of a reader that is slow', async () => {
    // 400 trees of 500 KB: held in memory, they would show.
    const many = await manySources('slow-reader', 400);
    const child = startProgram(['parse', many, '--language', 'large', '--root', root]);
    await once(child.stdout, 'readable');
    const heldBytes = async (): Promise<number> => {
      const status = await readFile(`/proc/${child.pid ?? 0}/status`, 'utf8');
      return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
    };
    // Nobody reads; the work goes on until it must wait, which shows in the time that the process has used.
    let used = -1;
    for (let now = await usedTime(child.pid); now !== used; now = await usedTime(child.pid)) {
      used = now;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(await heldBytes()).toBeLessThan(250 * 1024 * 1024);
    let lines = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      for (const byte of chunk) if (byte === 0x0a) lines += 1;
    });
    const [status] = (await once(child, 'close')) as [number];
    expect({ status, lines }).toEqual({ status: 0, lines: 400 });
  });

  it('ends quietly when its reader has seen enough', async () => {
    const many = await manySources('reader-leaves', 200);
    const child = startProgram(['parse', many, '--language', 'large', '--root', root]);
    const ended = collect(child);
    child.stdout.once('data', () => child.stdout.destroy());
    expect(await ended).toMatchObject({ status: 0, stderr: '' });
  });

  it('cancels on SIGINT and dies of it, leaving the terminal and the machine as they were', async () => {
    const hanging = path.join(folder, 'hanging');
    await mkdir(hanging);
    await writeFile(path.join(hanging, 'a.large'), 'hang');
    await writeFile(path.join(hanging, 'b.large'), 'quick');
    const child = startProgram(['parse', hanging, '--language', 'large', '--max-instances', '2', '--root', root]);
    const ended = collect(child);
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    expect(await ended).toMatchObject({ status: 'SIGINT', stderr: '' });
  });
});

async function usedTime(pid: number | undefined): Promise<number> {
  const fields = (await readFile(`/proc/${pid ?? 0}/stat`, 'utf8')).split(' ');
  return Number(fields[13]) + Number(fields[14]);
}
