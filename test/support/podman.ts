// podman for tests: with all that it has in a folder of theirs, and in cgroups that go when the test has finished.
import { readdir, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { onTestFinished } from 'vitest';

const mount = '/sys/fs/cgroup';

/** Options of every command. No journal, no systemd: files alone. */
export function podmanOptions(folder: string): string[] {
  const at = (name: string) => path.join(folder, name);
  return [
    ...['--root', at('podman'), '--runroot', at('podman-run'), '--tmpdir', at('podman-tmp'), '--storage-driver', 'vfs'],
    ...['--events-backend', 'none', '--cgroup-manager', 'cgroupfs'],
  ];
}

/** Options of `podman run` for a cgroup of its own for the container, named as the test's folder, and none for podman's monitor. */
export function podmanCgroups(folder: string): string[] {
  const name = path.basename(folder);
  onTestFinished(() => removeCgroups(name));
  return ['--cgroups', 'no-conmon', '--cgroup-parent', `/${name}`];
}

/** podman leaves cgroups where it makes them. What stays here, too, is found when all tests have ended. */
async function removeCgroups(name: string): Promise<void> {
  const hierarchies = [mount, ...(await readdir(mount)).map((one) => path.join(mount, one))];
  for (const hierarchy of hierarchies) await rmdir(path.join(hierarchy, name)).catch(() => undefined);
}
