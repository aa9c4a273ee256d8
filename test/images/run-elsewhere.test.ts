// Images that are built here, run by others: podman from a registry, and runc on a bundle that umoci unpacks from the store.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { parseReference } from '../../src/images/index.ts';
import { startRegistry } from './support/registries.ts';
import { openStore } from './support/stores.ts';
import { podmanCgroups, podmanOptions } from '../support/podman.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** What the image says of itself: who runs, where, with what in the environment, from which files. */
const script =
  'id -u; id -g; pwd; echo "$GREETING"; cat /etc/greeting; stat -c "%a %u:%g %Y" /etc/greeting; echo "$0 $1"';

const recipe = `compression = "gzip"
directories = ["/tmp", "/proc", "/sys", "/dev"]
[[layer]]
${['sh', 'id', 'cat', 'stat'].map((name) => `[[layer.executables]]\nname = "${name}"\nto = "/bin/${name}"`).join('\n')}
[[layer]]
[[layer.files]]
from = "greeting"
to = "/etc/greeting"
mode = "0640"
[[layer.files]]
from = "work"
to = "/work"
[config]
user = "0:7"
workdir = "/work"
entrypoint = ["/bin/sh", "-c", ${JSON.stringify(script)}]
command = ["zeroth", "first"]
[config.env]
PATH = "/bin"
GREETING = "good day"
`;

const expected = ['0', '7', '/work', 'good day', 'hello', '640 0:0 1700000000', 'zeroth first'];

it.runIf(process.getuid?.() === 0)(
  'an image that is built here prints the same under podman and under runc',
  async () => {
    const scratch = await temporaryFolder();
    const at = (name: string) => path.join(scratch, name);
    await mkdir(at('recipe/work'), { recursive: true });
    await writeFile(at('recipe/greeting'), 'hello\n');
    await writeFile(at('recipe/work/file'), '');
    await writeFile(at('recipe/image.toml'), `name = "example.org/built/here:1"\n${recipe}`);
    process.env['SOURCE_DATE_EPOCH'] = '1700000000';
    await using store = await openStore(scratch);
    const image = await store.build(at('recipe')).finally(() => delete process.env['SOURCE_DATE_EPOCH']);
    const stored = `${store.root}:example.org/built/here:1`;

    const podman = async (...args: string[]) =>
      (await execa('podman', [...podmanOptions(scratch), '--runtime', 'runc', ...args], { timeout: 60_000 })).stdout;
    const pushed = `${await startRegistry(at('registry'))}/built/here:1`;
    await store.push(image.digest, parseReference(pushed));
    const id = await podman('pull', '--quiet', '--tls-verify=false', pushed);
    expect(await podman('image', 'inspect', '--format', '{{.Digest}}', id)).toBe(image.digest);
    const bounds = ['--network', 'none', ...podmanCgroups(scratch)];
    // Podman's own are higher than some machines allow.
    const limits = ['--ulimit', 'nofile=512:512', '--ulimit', 'nproc=512:512'];
    const ran = await podman('run', '--rm', ...bounds, ...limits, id);
    expect(ran.split('\n')).toEqual(expected);

    await execa('umoci', ['unpack', '--image', stored, at('bundle')]);
    const file = at('bundle/config.json');
    const config = JSON.parse(await readFile(file, 'utf8')) as { process: { terminal: boolean } };
    config.process.terminal = false;
    await writeFile(file, JSON.stringify(config));
    const { stdout } = await execa(
      'runc',
      ['--root', at('runc'), 'run', '--bundle', at('bundle'), path.basename(scratch)],
      {
        stdin: 'ignore',
        timeout: 60_000,
      },
    );
    expect(stdout.split('\n')).toEqual(expected);
  },
);
