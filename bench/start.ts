// From spawning the host to its first parse, against `runc run` of the same bundle to the driver's first answer.
import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execPath, pid } from 'node:process';
import { driverProcess } from '../src/boot-driver.ts';
import { DriverClient } from './line-client.ts';
import type { Figure } from './report.ts';
import { plainBundle } from './plain-bundle.ts';
import { DirectDrivers, serveHost } from './setting.ts';
import { takeTurns, timed, type Sample } from './statistics.ts';

const rounds = 15;
const source = 'x = 1;\n';
const hints = { language: 'javascript', filename: 'x.js' };

export async function measureStart(root: string): Promise<Figure[]> {
  const bundle = await mkdtemp(path.join(tmpdir(), 'babelhost-bench-'));
  try {
    await using drivers = await DirectDrivers.open(root, 'javascript');
    const { rootfs, config } = await drivers.image();
    const process = driverProcess(config);
    // What the host gives the driver's container: its root is nobody on this machine, and has to reach the image's files.
    await chmod(path.dirname(root), 0o711);
    await writeFile(
      path.join(bundle, 'config.json'),
      JSON.stringify(plainBundle({ process, rootfs, withoutLimits: false })),
    );
    let made = 0;
    const runAlone = async (): Promise<number> => {
      const startedAt = performance.now();
      made += 1;
      const child = spawn('runc', ['run', '--bundle', bundle, `babelhost-bench-${pid}-${made}`], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      await new DriverClient(child.stdout, child.stdin).parse(source, hints);
      const elapsed = performance.now() - startedAt;
      child.stdin.end();
      await new Promise((resolve) => child.once('exit', resolve));
      return elapsed;
    };
    const { through, plain, hello, node } = await takeTurns(rounds, 3, {
      through: async () => {
        const startedAt = performance.now();
        const host = serveHost(root);
        await host.client.request('parse', { content: source, ...hints });
        const elapsed = performance.now() - startedAt;
        await host[Symbol.asyncDispose]();
        return elapsed;
      },
      plain: runAlone,
      hello: async () => {
        const startedAt = performance.now();
        const host = serveHost(root);
        await host.client.request('initialize', { processId: pid });
        const elapsed = performance.now() - startedAt;
        await host[Symbol.asyncDispose]();
        return elapsed;
      },
      node: () => timed(() => run(execPath, ['-e', '0'])),
    });
    const figure = (name: string, value: Sample, baseline: Figure['baseline'], ratio: number): Figure => ({
      name,
      unit: 'ms',
      value,
      baseline,
      target: { ratio, is: 'at most' },
    });
    return [
      figure(
        'spawn of the host to its first parse',
        through,
        { name: '`runc run` of the same bundle to its first answer', value: plain },
        1.25,
      ),
      figure('spawn of the host to `initialize` answered', hello, { name: '`node -e 0`', value: node }, 2),
    ];
  } finally {
    await rm(bundle, { recursive: true, force: true });
  }
}

async function run(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { stdio: 'inherit' });
  const status = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (status !== 0) throw new Error(`${command} ended with status ${String(status)}`);
}
