// Prepares each driver of the catalogue for a quick start: see the prepare programs in their folders. What they make
// goes to build/ there, where the recipes take it from. `npm run build` runs this.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';

const drivers = [
  { name: 'javascript', interpreter: process.execPath, program: 'prepare.mjs' },
  { name: 'python', interpreter: '/usr/bin/python3', program: 'prepare.py' },
];

for (const { name, interpreter, program } of drivers) {
  const folder = path.join(import.meta.dirname, name);
  if (!existsSync(interpreter)) {
    console.error(`The ${name} driver is not prepared: there is no ${interpreter}. It works, and starts more slowly.`);
    continue;
  }
  const build = path.join(folder, 'build');
  // What an earlier version made would go into the image.
  for (const name of readdirSync(build)) if (name !== '.gitkeep') rmSync(path.join(build, name), { recursive: true });
  execFileSync(interpreter, [path.join(folder, program), build], { stdio: 'inherit' });
}
