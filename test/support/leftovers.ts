// What babelhost may leave on a machine when it fails to clean up: processes, mounts, cgroups, temporary folders.
import { readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** All temporary folders of the tests begin so. */
export const temporaryPrefix = 'babelhost-test-';

/** Everything on this machine now that looks as if it were babelhost's or its tests'. */
export async function leftovers(): Promise<string[]> {
  return (await Promise.all([processes(), mounts(), cgroups(), folders()])).flat();
}

async function processes(): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const words = command.split('\0');
    const program = path.basename(words[0] ?? '');
    const ours =
      program === 'bootstrap' ||
      ((program === 'runc' || program === 'crun') && command.includes('babelhost')) ||
      words.some((word) => word.startsWith('/dev/init') || word === '/opt/driver/bin/native');
    if (ours) found.push(`process ${pid}: ${words.join(' ').trim()}`);
  }
  return found;
}

async function mounts(): Promise<string[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return lines.filter((line) => line.includes('babelhost')).map((line) => `mount ${line.split(' ')[4] ?? line}`);
}

/** cgroups of ours stand directly in the hierarchies' roots or below the test's own cgroup: two levels are looked at. */
async function cgroups(): Promise<string[]> {
  const found: string[] = [];
  const look = async (folder: string, depth: number): Promise<void> => {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries.filter((each) => each.isDirectory())) {
      const child = path.join(folder, entry.name);
      if (entry.name.startsWith('babelhost')) found.push(`cgroup ${child}`);
      else if (depth > 0) await look(child, depth - 1);
    }
  };
  await look('/sys/fs/cgroup', 3);
  return found;
}

async function folders(): Promise<string[]> {
  const names = await readdir(tmpdir());
  return names.filter((name) => name.startsWith(temporaryPrefix)).map((name) => `folder ${path.join(tmpdir(), name)}`);
}
