// Killed at any instant: whatever two processes were at when SIGKILL came, the next start finds the old state or the new
// one, and nothing else.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { expect, it } from 'vitest';
import { ImageStore } from '../../src/images/index.ts';
import { file, folder, tar } from './support/archives.ts';
import { layoutWith } from './support/layouts.ts';
import { leftovers, own } from './support/stores.ts';
import { stormOf } from '../support/storm.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const program = fileURLToPath(new URL('support/store-process.ts', import.meta.url));
const rounds = stormOf(20, 100);

it(`leaves one whole state, ${rounds} times`, async () => {
  const scratch = await temporaryFolder();
  const root = path.join(scratch, 'store');
  const references: string[] = [];
  const common = tar(folder('d'), ...Array.from({ length: 100 }, (_, index) => file(`d/${index}`, 'x'.repeat(2000))));
  for (const name of ['one', 'two']) {
    const layers = [
      { archive: common, compression: 'gzip' as const },
      { archive: tar(file('name', name), ...Array.from({ length: 50 }, (_, index) => file(`e/${index}`, name))) },
    ];
    const { path: at } = await layoutWith(path.join(scratch, name), layers, { name });
    references.push(`oci:${at}:${name}`);
  }
  const spread = await timeOfChanges(root, references);
  const seen = new Map<string, number>();
  for (let round = 0; round < rounds; round += 1) {
    const processes = [0, 1].map(() =>
      spawn(process.execPath, [program, root, ...references], { stdio: ['ignore', 'pipe', 'inherit'] }),
    );
    await Promise.all(processes.map((child) => once(child.stdout, 'data')));
    for (const child of processes) child.stdout.resume();
    // An instant, not a wait: chance picks it.
    await sleep(Math.random() * spread);
    const exits = processes.map((child) => once(child, 'exit'));
    for (const child of processes) child.kill('SIGKILL');
    for (const [code, signal] of await Promise.all(exits))
      expect([code, signal], `round ${round}`).toEqual([null, 'SIGKILL']);

    const store = await ImageStore.open(root, own);
    const images = await store.list();
    expect(images.length, `round ${round}`).toBeLessThanOrEqual(1);
    const state = images[0]?.names[0] ?? 'none';
    seen.set(state, (seen.get(state) ?? 0) + 1);
    for (const image of images) {
      await using lease = await store.lease(image.digest);
      expect(await readFile(path.join(lease.rootfs, 'name'), 'utf8')).toBe(state);
      expect(await readFile(path.join(lease.rootfs, 'e/49'), 'utf8')).toBe(state);
    }
    await store[Symbol.asyncDispose]();
    expect(await leftovers(root), `round ${round}`).toEqual([]);
    if (round % 10 === 0) {
      for (const { names } of images) await execa('skopeo', ['inspect', `oci:${root}:${names[0] ?? ''}`]);
    }
  }
  // Each state was met, or the instants were not where things happen.
  expect([...seen.keys()].sort()).toEqual(['none', 'one', 'two']);
}, 600_000);

/** How long a process takes here and now, as loaded as the machine is, for one change of each kind, in milliseconds. */
async function timeOfChanges(root: string, references: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [program, root, ...references], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  let began = 0;
  let done = 0;
  for await (const line of lines) {
    if (line === 'ready') began = performance.now();
    else done += 1;
    if (done === references.length + 1) break;
  }
  const took = performance.now() - began;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
  return took;
}
