// A driver that answers whatever it is asked with one real tree, at once: for what is to be measured of the host alone,
// with more large trees than a parser makes in a bounded time. Requests and answers have the sizes that they really have.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { withOwnHost } from './own-host.ts';

export const cannedLanguage = 'canned';

const recipe = `name = "babelhost/canned-driver:latest"
directories = ["/tmp", "/proc", "/dev", "/sys"]

[[layer]]
[[layer.executables]]
name = "node"
to = "/usr/bin/node"

[[layer]]
[[layer.files]]
from = "manifest.toml"
to = "/opt/driver/etc/manifest.toml"
[[layer.files]]
from = "answer.json"
to = "/opt/driver/lib/answer.json"
[[layer.files]]
from = "native"
to = "/opt/driver/bin/native"
mode = "0755"

[config]
workdir = "/opt/driver"
entrypoint = ["/opt/driver/bin/native"]
[config.env]
PATH = "/usr/bin:/bin"
`;

const manifest = `name = "canned"
language = "${cannedLanguage}"
version = "1"
status = "alpha"
`;

const native = `#!/usr/bin/node
const { readFileSync, readSync, writeSync } = process.getBuiltinModule('fs');
const answer = readFileSync('/opt/driver/lib/answer.json');
const buffer = Buffer.alloc(1024 * 1024);
for (let count = 0; (count = readSync(0, buffer)) > 0; ) {
  // The host writes one line, and waits for its answer.
  if (buffer[count - 1] !== 0x0a) continue;
  for (let written = 0; written < answer.length; ) written += writeSync(1, answer, written);
}
`;

/** Installs it in a root, with the JSON of a tree. */
export async function installCannedDriver(root: string, tree: Uint8Array): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-bench-'));
  try {
    const directory = path.join(folder, 'recipe');
    await mkdir(directory);
    await Promise.all([
      writeFile(path.join(directory, 'image.toml'), recipe),
      writeFile(path.join(directory, 'manifest.toml'), manifest),
      writeFile(path.join(directory, 'native'), native),
      writeFile(
        path.join(directory, 'answer.json'),
        Buffer.concat([Buffer.from('{"status":"ok","errors":[],"ast":'), tree, Buffer.from('}\n')]),
      ),
    ]);
    const output = `oci:${path.join(folder, 'image')}:latest`;
    await withOwnHost(root, async (client) => {
      await client.request('image/build', { directory, output });
      await client.request('driver/install', { reference: output });
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
