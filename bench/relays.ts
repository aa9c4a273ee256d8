// What any process between a client and a driver costs on this machine: the driver of `latency`, without container and
// host, behind a program that only passes bytes on. It is no figure of babelhost's and has no target; it tells how much of
// what `latency` shows is the machine's.
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { fileOfSize } from './corpus.ts';
import { startDriver, type DirectDriver } from './direct-drivers.ts';
import { layOut } from './laid-out-driver.ts';
import { latencySizes } from './latency.ts';
import type { Figure } from './report.ts';
import { takeTurns, timed } from './statistics.ts';

const source = fileURLToPath(new URL('relay.c', import.meta.url));
const nodeRelay = fileURLToPath(new URL('relay-process.ts', import.meta.url));

/** Measures a driver behind a relay against the driver itself. */
export async function measureRelays(): Promise<Figure[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-bench-'));
  try {
    const relay = path.join(folder, 'relay');
    await promisify(execFile)(process.env['CC'] ?? 'cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', relay, source]);
    const { command } = await layOut('javascript', folder);
    await using driver = startDriver(command);
    await using behindC = startDriver([relay, ...command]);
    await using behindNode = startDriver([process.execPath, nodeRelay, ...command]);
    const figures: Figure[] = [];
    for (const { kilobytes, warmUp, rounds } of latencySizes) {
      const { file, content } = await fileOfSize(kilobytes * 1024);
      const ask = ({ client }: DirectDriver) =>
        timed(() => client.parse(content, { language: 'javascript', filename: file }));
      const { direct, c, node } = await takeTurns(rounds, warmUp, {
        direct: () => ask(driver),
        c: () => ask(behindC),
        node: () => ask(behindNode),
      });
      const size = (content.length / 1024).toFixed(0);
      const baseline = { name: 'the same driver without container, over its pipes', value: direct };
      figures.push(
        { name: `no host, but bytes passed on by a program in C, ${size} KB`, unit: 'ms', value: c, baseline },
        { name: `no host, but bytes passed on by a program of Node’s, ${size} KB`, unit: 'ms', value: node, baseline },
      );
    }
    return figures;
  } finally {
    await rm(folder, { recursive: true });
  }
}
