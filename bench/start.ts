// From spawning the host to its first parse, against a program of Node's that only starts `runc run` of the same bundle.
import { spawn } from 'node:child_process';
import { execPath, pid } from 'node:process';
import { DirectDrivers } from './direct-drivers.ts';
import type { Figure } from './report.ts';
import { serveHost } from './setting.ts';
import { takeTurns, timed, type Sample } from './statistics.ts';

const rounds = 15;
const source = 'x = 1;\n';
const hints = { language: 'javascript', filename: 'x.js' };
/** The least that a host can do that is a program of Node's. */
const onlyRunc = "require('node:child_process').spawn('runc', process.argv.slice(1), { stdio: 'inherit' })";

export async function measureStart(root: string): Promise<Figure[]> {
  await using drivers = await DirectDrivers.open(root, 'javascript');
  const toFirstAnswer = async (runtime?: readonly [string, ...string[]]): Promise<number> => {
    const startedAt = performance.now();
    await using driver = drivers.start(runtime);
    await driver.client.parse(source, hints);
    return performance.now() - startedAt;
  };
  const { through, plain, fromNode, hello, node } = await takeTurns(rounds, 3, {
    through: async () => {
      const startedAt = performance.now();
      const host = serveHost(root);
      await host.client.request('parse', { content: source, ...hints });
      const elapsed = performance.now() - startedAt;
      await host[Symbol.asyncDispose]();
      return elapsed;
    },
    plain: () => toFirstAnswer(),
    fromNode: () => toFirstAnswer([execPath, '-e', onlyRunc]),
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
  const leastOfNode = { name: 'a program of Node’s that only starts `runc run` of the same bundle', value: fromNode };
  const alone = { name: '`runc run` of the same bundle to its first answer', value: plain };
  return [
    figure('spawn of the host to its first parse', through, leastOfNode, 1.5),
    { name: 'no host, but that program', unit: 'ms', value: fromNode, baseline: alone },
    figure('spawn of the host to `initialize` answered', hello, { name: '`node -e 0`', value: node }, 1.6),
  ];
}

async function run(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, { stdio: 'inherit' });
  const status = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (status !== 0) throw new Error(`${command} ended with status ${String(status)}`);
}
