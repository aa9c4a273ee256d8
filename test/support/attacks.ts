// Containers that attack: each does one thing of test/container/fixtures/attempts.c again and again, within limits that
// leave others most of the machine. For tests and measurements of what others notice.
import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Client } from '../../src/protocol/client.ts';
import { shellLayer } from './driver-images.ts';

const source = fileURLToPath(new URL('../container/fixtures/attempts.c', import.meta.url));

const recipe = `name = "test/attacks:1"
compression = "none"
directories = ["/tmp", "/proc", "/dev"]
${shellLayer}[[layer.files]]
from = "attempts"
to = "/bin/attempts"
mode = "0755"
[config.env]
PATH = "/bin"
`;

const again = (attempt: string): string => `while :; do ${attempt}; done </dev/null >/dev/null 2>&1`;

/** What each of them executes, in busybox's shell. */
const attacks: Readonly<Record<string, string>> = {
  forks: again('attempts fork-bomb'),
  memory: again('attempts memory-bomb'),
  disk: again('attempts disk-bomb /tmp/big; attempts disk-bomb /dev/shm/big; rm -f /tmp/big /dev/shm/big'),
  descriptors: again('attempts open-files'),
  processor: again('attempts processor-hog'),
  // These two hold what they have taken.
  signals: 'attempts pending-signals 100000 >/dev/null; while :; do attempts pending-signals 100000 >/dev/null; done',
  flight: 'busybox tail -f /dev/null | attempts descriptors-in-flight 100000',
  leases: again('attempts lease /bin/busybox; attempts lease /bin/attempts; attempts notify /bin'),
  lock: 'busybox tail -f /dev/null | attempts lock-file /bin/busybox',
  pages: again('for file in /bin/*; do attempts page-out $file; attempts drop-from-memory $file; done'),
  priority: again('attempts priority-of-other 1; attempts limit-of-other 1; busybox kill -STOP 1; busybox kill -9 1'),
  // 4 MB a second and more, of which the host keeps the end.
  output: 'while :; do busybox head -c 1000000 /dev/zero; busybox head -c 1000000 /dev/zero >&2; done',
  folders: 'while :; do busybox mkdir -p d && cd d; done',
};

const limits = {
  memoryBytes: 64 * 1024 ** 2,
  cpus: 0.05,
  processes: 50,
  openFiles: 200,
  fileSizeBytes: 8 * 1024 ** 2,
  temporaryBytes: 8 * 1024 ** 2,
};

/** Builds the image of the attackers in `folder`, as the layout whose reference is returned. */
export async function buildAttackImage(folder: string, client: Client): Promise<string> {
  const directory = path.join(folder, 'recipe-attacks');
  await mkdir(directory, { recursive: true });
  await promisify(execFile)('cc', ['-static', '-O1', '-o', path.join(directory, 'attempts'), source]);
  await writeFile(path.join(directory, 'image.toml'), recipe);
  const output = `oci:${path.join(folder, 'image-attacks')}:1`;
  await client.request('image/build', { directory, output });
  return output;
}

/** Starts all of the attackers; returns the ids of their containers. One may end itself: it is not started again. */
export async function startAttacks(image: string, client: Client): Promise<string[]> {
  const { digest } = await client.request('image/pull', { reference: image });
  const ids: string[] = [];
  for (const script of Object.values(attacks)) {
    const { handle, id } = await client.request('container/create', {
      image: digest,
      args: ['/bin/sh', '-c', script],
      writable: true,
      limits,
    });
    await client.request('container/setRunState', { handle, runState: 'running' });
    await client.request('container/commit', { handle });
    ids.push(id);
  }
  return ids;
}

/** Stops them and removes what they have written. */
export async function endAttacks(ids: readonly string[], client: Client): Promise<void> {
  await Promise.all(
    ids.map(async (id) => {
      const { handle } = await client.request('container/handle', { id });
      await client.request('container/setRunState', { handle, runState: 'stopped' });
      await client.request('container/commit', { handle });
      await client.request('container/destroy', { id });
    }),
  );
}
