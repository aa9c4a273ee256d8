// Runs before and after all tests: builds what is not built, the catalogue's images once for all of them, and looks at the end for what the
// tests left behind. Whatever a test starts must be gone when it ends; what is found here fails the run.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';
import { endAfter } from './deadline.ts';
import { buildCatalogue } from './driver-images.ts';
import { leftovers } from './leftovers.ts';
import { announceLeftOut } from './privileges.ts';
import { makeTemporaryFolder, removeFolder } from './temporary-folder.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The folder with the catalogue's images: see cataloguedImage in driver-images.ts. */
    readonly catalogue: string;
  }
}

/** Several times what they take on a slow machine, in minutes. */
const longest = 40;

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  announceLeftOut();
  const inTime = endAfter(longest, () => unfinished(project));
  // The tests run the files that package.json names.
  await promisify(execFile)(fileURLToPath(new URL('../../scripts/setup', import.meta.url)), ['build']);
  const before = new Set(await leftovers());
  const catalogue = await makeTemporaryFolder();
  await buildCatalogue(catalogue);
  project.provide('catalogue', catalogue);
  return async () => {
    inTime();
    await removeFolder(catalogue);
    // What a guard sweeps at this moment has two seconds, as the program itself promises.
    const deadline = performance.now() + 2000;
    const added = async (): Promise<string[]> => (await leftovers()).filter((item) => !before.has(item));
    let left = await added();
    while (left.length > 0 && performance.now() < deadline) left = await added();
    if (left.length > 0) throw new Error(`The tests left behind:\n  ${left.join('\n  ')}`);
  };
}

/** The files whose tests have begun and not ended. */
function unfinished({ vitest }: TestProject): string[] {
  const modules = vitest.state.getTestModules().filter((module) => ['pending', 'queued'].includes(module.state()));
  return modules.map((module) => module.relativeModuleId);
}
