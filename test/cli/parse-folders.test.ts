// parse of folders as they lie on disks: with ignore files, hidden files, and names that are no UTF-8.
import { execFile, execFileSync } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeTree } from '../drivers/walk/tree.ts';
import { makeDriverRoot } from '../support/driver-root.ts';
import { runProgram } from '../support/program.ts';
import { mainProgram } from '../support/served-host.ts';
import { removeFolder } from '../support/temporary-folder.ts';

const script = `
while IFS= read -r line; do
  printf '{"status":"ok","errors":[{"message":"so"}],"ast":%s}\\n' "$line"
done`;

let folder: string;
let root: string;

beforeAll(async () => {
  ({ folder, root } = await makeDriverRoot('python', script));
  await writeTree(path.join(folder, 'project'), {
    '.git/config': '',
    '.gitignore': 'node_modules/\n*_pb.py\n',
    'a.py': '',
    'a_pb.py': '',
    '.b.py': '',
    'node_modules/c.py': '',
  });
  await writeTree(path.join(folder, 'names'), { '\xff/caf\xe9.py': 'x', '\xff/caf\xe8.py': 'x', '\xff/a\nb.py': 'x' });
});
afterAll(() => removeFolder(folder));

const project = (...names: string[]): string => path.join(folder, 'project', ...names);

const parsed = async (...args: string[]): Promise<string> => {
  const { status, stdout } = await runProgram(['parse', ...args, '--root', root]);
  expect(status).toBe(0);
  const lines = stdout.trimEnd().split('\n');
  return lines
    .map((line) => path.basename((JSON.parse(line) as { uri: string }).uri))
    .sort()
    .join(' ');
};

describe('parse of a folder', () => {
  it('leaves out what ignore files name and hidden files, unless --no-ignore and --hidden say otherwise', async () => {
    expect(await parsed(project())).toBe('a.py');
    expect(await parsed(project(), '--hidden')).toBe('.b.py a.py');
    expect(await parsed(project(), '--no-ignore')).toBe('a.py a_pb.py c.py');
    const { stderr } = await runProgram(['parse', project(), '--root', root]);
    expect(stderr).toMatch(/^1 file \(.*\) in .*: 1 ok; 2 ignored\n$/);
  });

  it('parses what is named as an argument, ignored or not', async () => {
    expect(await parsed(project('a_pb.py'), project('.b.py'), project('node_modules'))).toBe('.b.py a_pb.py c.py');
    expect(await parsed(project('a_pb.py'))).toBe('a_pb.py');
  });

  it('warns of an ignore file that cannot be used, and goes on', async () => {
    const place = path.join(folder, 'fifo');
    await writeTree(place, { 'a.py': '' });
    execFileSync('mkfifo', [path.join(place, '.ignore')]);
    const { status, stderr } = await runProgram(['parse', place, '--root', root]);
    expect(status).toBe(0);
    expect(stderr).toMatch(/^babelhost: warning: .*\/fifo\/\.ignore is not used: it is not a regular file\.\n1 file /);
    const json = await runProgram(['parse', place, '--json', '--root', root]);
    expect(JSON.parse(json.stderr)).toMatchObject({
      warning: { uri: expect.stringMatching(/\/fifo\/\.ignore$/) as string, message: expect.any(String) as string },
    });
  });
});

describe('names that are no UTF-8', () => {
  /** Runs a line of shell, in which $parse is the command: only a shell can write such names. */
  const shell = async (line: string): Promise<string> => {
    const environment = { ...process.env, PROGRAM: mainProgram, NODE: process.execPath, STORE: root };
    const parse = 'parse() { "$NODE" "$PROGRAM" parse "$@" --root "$STORE"; }';
    const { stdout } = await promisify(execFile)('sh', ['-c', `${parse}; { ${line}; } 2>&1`], {
      cwd: path.join(folder, 'names'),
      env: environment,
    });
    return stdout;
  };

  it('are in folders, and told by URIs in NDJSON', async () => {
    expect(await parsed(path.join(folder, 'names'))).toBe('a%0Ab.py caf%E8.py caf%E9.py');
  });

  it('are taken as arguments, from a folder with such a name, and shown with their bytes', async () => {
    const line = await shell(`parse "$(printf '\\377/caf\\351.py')"`);
    expect(JSON.parse(line)).toMatchObject({ uri: expect.stringMatching(/\/names\/%FF\/caf%E9\.py$/) as string });
    const tree = await shell(
      `cd "$(printf '\\377')"; parse --format tree "$(printf 'caf\\351.py')" "$(printf 'caf\\350.py')" *b.py`,
    );
    expect(tree).toMatch(/^caf\\xe9\.py · python/m);
    expect(tree).toMatch(/^caf\\xe8\.py: .*so/m);
    expect(tree).toMatch(/^a\\nb\.py · python/m);
    expect(await shell(`parse "$(printf 'gone\\351.py')" || true`)).toContain(
      'babelhost: gone\\xe9.py cannot be parsed: there is no such file.',
    );
  });
});
