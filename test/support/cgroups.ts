// cgroups that other programs are told to make in a test, and leave where they make them.
import { readdir, rmdir } from 'node:fs/promises';
import path from 'node:path';

const mount = '/sys/fs/cgroup';

/** Removes an empty cgroup of the top from every hierarchy that there is. What stays is found when all tests have ended. */
export async function removeCgroups(name: string): Promise<void> {
  const hierarchies = [mount, ...(await readdir(mount)).map((one) => path.join(mount, one))];
  for (const hierarchy of hierarchies) await rmdir(path.join(hierarchy, name)).catch(() => undefined);
}
