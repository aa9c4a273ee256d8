// A host that listens at a socket, with one driver, made of a shell script.
import { once } from 'node:events';
import path from 'node:path';
import { expect } from 'vitest';
import { buildScriptDriver, type ScriptDriver } from './driver-images.ts';
import { collect, runProgram, startProgram } from './program.ts';
import { makeTemporaryFolder, removeFolder } from './temporary-folder.ts';

/** Starts a host that listens at a socket, and waits until it does or has ended. */
export async function startListening(socket: string, root: string, options: readonly string[] = []) {
  const child = startProgram([
    'serve',
    '--listen',
    `unix:${socket}`,
    '--root',
    root,
    '--log-level',
    'error',
    ...options,
  ]);
  const ended = collect(child);
  await Promise.race([once(child.stderr, 'data'), ended]);
  return { child, ended };
}

export interface ListeningHost extends AsyncDisposable {
  /** What the test may write to; the socket and the store are in it, too. */
  readonly folder: string;
  readonly socket: string;
  readonly pid: number;
}

/** Installs the driver and starts the host. It ends when the test disposes of it. */
export async function listeningHost(driver: ScriptDriver, options: readonly string[]): Promise<ListeningHost> {
  await using made = new AsyncDisposableStack();
  const folder = await makeTemporaryFolder();
  made.defer(() => removeFolder(folder));
  const socket = path.join(folder, 'socket');
  const root = path.join(folder, 'root');
  const reference = await buildScriptDriver(folder, driver);
  expect(await runProgram(['driver', 'install', reference, '--root', root])).toMatchObject({ status: 0 });
  const { child, ended } = await startListening(socket, root, options);
  made.defer(async () => {
    child.kill('SIGTERM');
    await ended;
  });
  const all = made.move();
  return { folder, socket, pid: child.pid ?? 0, [Symbol.asyncDispose]: () => all.disposeAsync() };
}
