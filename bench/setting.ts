// What the measurements run on: a root with the catalogue's drivers, and a served host.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import manifest from '../package.json' with { type: 'json' };
import { Client } from '../src/protocol/client.ts';
import type { Readable, Writable } from 'node:stream';
import { HostClient } from './line-client.ts';
import { withOwnHost } from './own-host.ts';

const project = fileURLToPath(new URL('..', import.meta.url));
export const program = path.join(project, manifest.bin.babelhost);

/** A folder with a root in which the catalogue's drivers are installed; removed when disposed of. */
export async function makeRoot(): Promise<{ root: string } & AsyncDisposable> {
  const folder = await mkdtemp(path.join(tmpdir(), 'babelhost-bench-'));
  const root = path.join(folder, 'root');
  await withOwnHost(root, async (client) => {
    for (const name of ['python', 'javascript']) {
      const output = `oci:${path.join(folder, name)}:latest`;
      await client.request('image/build', { directory: path.join(project, 'catalog', name), output });
      await client.request('driver/install', { reference: output });
    }
  });
  return { root, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

/**
 * Options of a host that keeps an instance for each core, whatever it has done and however long it had nothing to do: a
 * contestant's turn may take longer than a pool keeps what it does not need, and a new driver is slow for thousands of files.
 */
export const keptInstances = [
  ...['--retire-requests', '0', '--retire-memory', '0'],
  ...['--min-instances', String(availableParallelism())],
];

export interface ServedHost<Spoken = HostClient> extends AsyncDisposable {
  readonly client: Spoken;
  readonly pid: number;
}

/** `babelhost serve --stdio`, as its users start it. */
export function serveHost(root: string, options: readonly string[] = []): ServedHost {
  return serve(root, options, (output, input) => new HostClient(output, input));
}

/** The same, spoken to by this project's own client, which leaves trees undecoded: as the command line does it. */
export function serveHostWithRawTrees(root: string, options: readonly string[] = []): ServedHost<Client> {
  return serve(root, options, (output, input) => new Client(output, input, { rawTrees: true, ownsInput: true }));
}

function serve<Spoken>(
  root: string,
  options: readonly string[],
  speak: (output: Readable, input: Writable) => Spoken,
): ServedHost<Spoken> {
  const child: ChildProcess = spawn(
    process.execPath,
    // The baselines' containers get at the images by themselves, as nobody of this machine.
    [program, 'serve', '--stdio', '--root', root, '--store-access', 'everyone', '--log-level', 'error', ...options],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  if (child.stdin === null || child.stdout === null || child.pid === undefined)
    throw new Error('the host did not start');
  const { stdin, stdout, pid } = child;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  return {
    client: speak(stdout, stdin),
    pid,
    [Symbol.asyncDispose]: async () => {
      stdin.end();
      await ended;
    },
  };
}
