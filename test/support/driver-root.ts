// A root for hosts in which one driver is installed, whose program is a shell script.
import path from 'node:path';
import { expect } from 'vitest';
import { buildScriptDriver } from './driver-images.ts';
import { runProgram } from './program.ts';
import { makeTemporaryFolder } from './temporary-folder.ts';

/** @returns the folder that is to be removed after the tests, and the root in it */
export async function makeDriverRoot(language: string, script: string): Promise<{ folder: string; root: string }> {
  const folder = await makeTemporaryFolder();
  const root = path.join(folder, 'root');
  const reference = await buildScriptDriver(folder, { language, script });
  expect(await runProgram(['driver', 'install', reference, '--root', root])).toMatchObject({ status: 0 });
  return { folder, root };
}
