// Pulling and unpacking an image of 100 MB in five layers from a registry on loopback, beside skopeo copy and umoci unpack
// of the same; a second image with four of the five layers; and how much memory it takes.
import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Figure } from './report.ts';
import { summarise } from './statistics.ts';

const run = promisify(execFile);

const rounds = 5;

/** Peak memory above idle that pulling may take, whatever the image's size. */
const memoryBound = 150;

export async function measureImages(): Promise<Figure[]> {
  const scratch = await mkdtemp(path.join(tmpdir(), 'babelhost-bench-'));
  const registry = await startRegistry(scratch);
  try {
    const first = await makeImage(scratch, registry.host, 'first', [0, 1, 2, 3, 4]);
    const second = await makeImage(scratch, registry.host, 'second', [0, 1, 2, 3, 5]);
    const ours: Measured[] = [];
    const others: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      // Folders of their own, kept to the end: a file system is slow at making files where many were just removed. What
      // one contestant has left to be written must not be written in the other's time.
      await run('sync', ['--file-system', scratch]);
      others.push(await pullWithOthers(path.join(scratch, `others-${round}`), first));
      await run('sync', ['--file-system', scratch]);
      ours.push(await pullWithOurs(path.join(scratch, `ours-${round}`), first, second));
    }
    const pull = summarise(ours.map((one) => one.first));
    return [
      {
        name: 'pull and unpack 100 MB in five layers',
        unit: 'ms',
        value: pull,
        baseline: { name: 'skopeo copy, then umoci unpack', value: summarise(others) },
        target: { ratio: 0.8, is: 'at most' },
      },
      {
        name: 'pull a second image that shares four of the layers',
        unit: 'ms',
        value: summarise(ours.map((one) => one.second)),
        baseline: { name: 'the first', value: pull },
        target: { ratio: 0.2, is: 'at most' },
      },
      {
        name: 'peak memory above idle while pulling',
        unit: 'MB',
        value: summarise(ours.map((one) => one.memory)),
        baseline: { name: 'what it may take', value: summarise([memoryBound]) },
        target: { ratio: 1, is: 'at most' },
      },
    ];
  } finally {
    registry.child.kill('SIGKILL');
    await once(registry.child, 'exit');
    // What umoci unpacks has folders that only root may change; rm tells of what it cannot remove.
    await run('rm', ['-rf', scratch]);
  }
}

interface Measured {
  readonly first: number;
  readonly second: number;
  /** In MB. */
  readonly memory: number;
}

/** A process of its own, whose memory nothing else has been in. */
async function pullWithOurs(root: string, first: string, second: string): Promise<Measured> {
  const program = fileURLToPath(new URL('images-process.ts', import.meta.url));
  const { stdout } = await run(process.execPath, [program, root, first, second]);
  return JSON.parse(stdout) as Measured;
}

async function pullWithOthers(folder: string, reference: string): Promise<number> {
  const layout = path.join(folder, 'layout');
  const bundle = path.join(folder, 'bundle');
  await mkdir(folder);
  const began = performance.now();
  await run('skopeo', ['copy', '--quiet', '--src-tls-verify=false', `docker://${reference}`, `oci:${layout}:x`]);
  await run('umoci', ['unpack', ...(process.getuid?.() === 0 ? [] : ['--rootless']), '--image', `${layout}:x`, bundle]);
  return performance.now() - began;
}

/** Pushes an image whose layers, by number, have the same content each time: 20 MB in files of mixed sizes. */
async function makeImage(scratch: string, host: string, name: string, layers: number[]): Promise<string> {
  const layout = path.join(scratch, 'made');
  await rm(layout, { recursive: true, force: true });
  await run('umoci', ['init', '--layout', layout]);
  await run('umoci', ['new', '--image', `${layout}:x`]);
  for (const layer of layers) {
    const folder = path.join(scratch, `content-${layer}`);
    await makeContent(folder, layer);
    await run('umoci', ['insert', '--image', `${layout}:x`, folder, `/layer${layer}`]);
  }
  await run('skopeo', [
    'copy',
    '--quiet',
    '--dest-tls-verify=false',
    `oci:${layout}:x`,
    `docker://${host}/bench/${name}:x`,
  ]);
  return `${host}/bench/${name}:x`;
}

const made = new Set<string>();

async function makeContent(folder: string, seed: number): Promise<void> {
  if (made.has(folder)) return;
  made.add(folder);
  await mkdir(folder, { recursive: true });
  // Half of each file is noise and half is text, so that it compresses about as programs do.
  const text = Buffer.alloc(1 << 20, createHash('sha256').update(String(seed)).digest('hex'));
  let total = 0;
  for (let index = 0; total < 20e6; index += 1) {
    const size = [2_000, 8_000, 30_000, 500_000][index % 4] ?? 2_000;
    const sub = path.join(folder, `d${index % 16}`);
    await mkdir(sub, { recursive: true });
    await writeFile(path.join(sub, `f${index}`), Buffer.concat([randomBytes(size / 2), text.subarray(0, size / 2)]));
    total += size;
  }
}

async function startRegistry(scratch: string) {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const file = path.join(scratch, 'registry.yml');
  await writeFile(
    file,
    `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${scratch}/registry}}\nhttp: {addr: 127.0.0.1:${port}}\n`,
  );
  const child = spawn('docker-registry', ['serve', file], { stdio: 'ignore' });
  for (let tries = 0; tries < 500; tries += 1) {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return { host: `127.0.0.1:${port}`, child };
    } catch {
      await sleep(20);
    } finally {
      socket.destroy();
    }
  }
  throw new Error('docker-registry did not start: is it installed (apt-get install docker-registry)?');
}
