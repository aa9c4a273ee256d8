// A host as its users have it: `babelhost serve --stdio` as a child process, spoken to over its pipes.
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath, pathToFileURL } from 'node:url';
import manifest from '../../package.json' with { type: 'json' };
import { Client } from '../../src/protocol/client.ts';

/** What package.json's `bin` names: the file that people run. */
export const mainProgram = fileURLToPath(new URL(`../../${manifest.bin.babelhost}`, import.meta.url));

export interface ServedHost extends AsyncDisposable {
  readonly client: Client;
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  /** What it wrote to its stderr so far. */
  readonly log: () => string;
  /** Its exit status, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Shuts it down properly; resolves with its exit status. */
  stop(): Promise<number | NodeJS.Signals>;
}

/** The program itself, without a client on it: for what a client would never send. */
export function spawnHost(
  root: string,
  options: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): ServedHost['child'] {
  return spawn(process.execPath, [mainProgram, 'serve', '--stdio', '--root', root, ...options], {
    stdio: 'pipe',
    env: { ...process.env, ...environment },
  });
}

/** Starts a host on `root`. It ends when the test disposes of it. */
export function serveHost(
  root: string,
  options: readonly string[] = [],
  environment: NodeJS.ProcessEnv = {},
): ServedHost {
  const child = spawnHost(root, options, environment);
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-100_000);
  });
  // A host that a test kills closes its pipe under us.
  child.stdin.on('error', () => undefined);
  const ended = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once('exit', (code, signal) => {
      resolve(code ?? signal ?? 0);
    });
  });
  const client = new Client(child.stdout, child.stdin);
  const stop = async (): Promise<number | NodeJS.Signals> => {
    if (child.exitCode === null && child.signalCode === null) {
      await client.request('shutdown', {}).catch(() => undefined);
      await client.notify('exit').catch(() => undefined);
    }
    return await ended;
  };
  return {
    client,
    child,
    log: () => log,
    ended,
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop();
      client[Symbol.dispose]();
    },
  };
}

export const uriOf = (file: string): string => pathToFileURL(file).href;
