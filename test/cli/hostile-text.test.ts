// What an image says of itself, on a terminal: nothing in it moves the cursor, sets a title or turns text around, and a
// program that reads JSON gets it as it is.
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { file, tar } from '../images/support/archives.ts';
import { LayoutFolder } from '../images/support/layouts.ts';
import { runOnTerminal, runProgram } from '../support/program.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

/** A title, a cleared screen, the same by C1 controls, DEL, and text that reads backwards. */
const hostile = 'a\u001b]0;owned\u0007\u001b[2J\u009d0;owned\u009c\u009b2J\u007f\u202eb';
const raw = ['\u001b]0;', '\u001b[2J', '\u0007', '\u007f', '\u009b', '\u009c', '\u009d', '\u202e'];
const toml = JSON.stringify(hostile).replaceAll('\u007f', '\\u007f');

let folder: string;
let root: string;
let reference: string;
const versions = ['1', '2'];

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  root = path.join(folder, 'root');
  const layout = new LayoutFolder(path.join(folder, 'layout'));
  for (const version of versions) {
    const manifest = [
      'language = "evil"',
      `version = "${version}${toml.slice(1, -1)}"`,
      ...['name', 'status', 'documentation'].map((key) => `${key} = ${toml}`),
      `features = [${toml}]`,
    ].join('\n');
    const archive = tar(
      file('opt/driver/etc/manifest.toml', manifest),
      file('opt/driver/bin/native', '', { mode: 0o755 }),
    );
    const config = {
      Labels: { [hostile]: hostile },
      Env: [`A=${hostile}`],
      Entrypoint: [hostile],
      Cmd: [hostile],
      User: hostile,
      WorkingDir: `/${hostile}`,
    };
    const descriptor = await layout.write([{ archive }], { config });
    await layout.add({
      ...descriptor,
      annotations: { 'org.opencontainers.image.ref.name': version, 'io.example.note': hostile },
    });
  }
  reference = `oci:${layout.path}:1`;
});
afterAll(() => removeFolder(folder));

const onTerminal = async (...args: string[]): Promise<string> => {
  const { stdout } = await runOnTerminal([...args, '--root', root]);
  for (const text of raw) expect(stdout, args.join(' ')).not.toContain(text);
  return stdout;
};

it('is harmless when a driver is installed, listed, inspected and replaced', async () => {
  expect(await onTerminal('driver', 'install', reference)).toContain('Installed evil 1a\\x1b]0;owned');
  expect(await onTerminal('driver', 'list')).toContain(
    'a\\x1b]0;owned\\x07\\x1b[2J\\x9d0;owned\\x9c\\x9b2J\\x7f\\u202eb',
  );
  expect(await onTerminal('driver', 'inspect', 'evil')).toContain('\\u202eb');
  expect(await onTerminal('image', 'list')).toContain('sha256:');
  const { stdout } = await runProgram(['driver', 'inspect', 'evil', '--json', '--root', root]);
  const { digest } = JSON.parse(stdout) as { digest: string };
  expect(await onTerminal('image', 'inspect', digest)).toContain('u202eb');
  expect(await onTerminal('driver', 'install', '--update', `oci:${path.join(folder, 'layout')}:2`)).toContain(
    'Updated evil',
  );
});

it('is harmless as JSON, too, and the same to a program', async () => {
  await onTerminal('driver', 'list', '--json');
  await onTerminal('driver', 'install', reference, '--json');
  const { stdout } = await runProgram(['driver', 'list', '--json', '--root', root]);
  expect(JSON.parse(stdout)).toMatchObject({ drivers: [{ manifest: { name: hostile, documentation: hostile } }] });
});

it('is harmless in an error', async () => {
  const layout = new LayoutFolder(path.join(folder, 'refused'));
  const manifest = `language = "x"\n[limits]\n${toml} = 1\n`;
  await layout.add(await layout.write([{ archive: tar(file('opt/driver/etc/manifest.toml', manifest)) }]));
  for (const option of [[], ['--json']]) {
    expect(await onTerminal('driver', 'install', `oci:${layout.path}`, ...option)).toContain('u202eb');
  }
});
