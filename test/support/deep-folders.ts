// Folders whose paths are longer than the kernel takes.
import { execFileSync } from 'node:child_process';

/** Makes a folder with `levels` more in it, each of that name and in the one before, as a process does that changes into each of them. */
export function makeDeep(folder: string, levels: number, name = 'a'): void {
  const script = `const { mkdirSync } = require('node:fs');
mkdirSync(process.argv[1]);
process.chdir(process.argv[1]);
for (let level = 0; level < ${levels}; level += 1) {
  mkdirSync('${name}');
  process.chdir('${name}');
}`;
  execFileSync(process.execPath, ['-e', script, folder]);
}
