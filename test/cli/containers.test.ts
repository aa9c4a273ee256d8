// Containers from the command line, at a host that runs.
import { once } from 'node:events';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { Host } from '../../src/host.ts';
import { connect, createServer } from 'node:net';
import { Client } from '../../src/protocol/client.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { runProgram } from '../support/program.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

it('are listed, inspected, run commands in, killed and destroyed', async () => {
  const folder = await temporaryFolder();
  const socketPath = path.join(folder, 'socket');
  const host = await Host.start({ root: path.join(folder, 'root') });
  const server = createServer((socket) => host.serve(socket, socket));
  await once(server.listen(socketPath), 'listening');
  const socket = connect(socketPath);
  using client = new Client(socket, socket);
  onTestFinished(async () => {
    socket.destroy();
    server.close();
    await host.close();
  });
  const at = (...args: string[]) => {
    const [group = '', word = '', ...rest] = args;
    return runProgram([group, word, '--connect', `unix:${socketPath}`, ...rest]);
  };
  expect(await at('container', 'list')).toMatchObject({ status: 0, stdout: '', stderr: 'There are no containers.\n' });

  const reference = await buildScriptDriver(folder, { language: 'toy', script: 'cat' });
  const { driver } = await client.request('driver/install', { reference });
  const args = ['/bin/sh', '-c', 'echo out; echo err >&2; while :; do busybox sleep 1; done'];
  const { handle, id } = await client.request('container/create', { image: driver.digest, args });
  await client.request('container/setRunState', { handle, runState: 'running' });
  await client.request('container/commit', { handle });

  expect((await at('container', 'list', '--status', 'running')).stdout).toContain(id);
  expect((await at('container', 'list', '--status', 'stopped')).stdout).toBe('');
  const inspected = await at('container', 'inspect', id);
  for (const text of [id, 'running', 'memoryBytes=2147483648', driver.digest]) expect(inspected.stdout).toContain(text);
  await expect.poll(() => at('container', 'logs', id)).toMatchObject({ status: 0, stdout: 'out\n', stderr: 'err\n' });
  const script = 'echo $A $B; busybox pwd; echo no >&2; exit 4';
  const words = ['--env', 'A=1', '--env', 'B=2', '--cwd', '/bin', id, '--', '/bin/sh', '-c', script];
  expect(await at('container', 'exec', ...words)).toEqual({
    status: 1,
    stdout: '1 2\n/bin\n',
    stderr: 'no\nIt exited with status 4.\n',
  });
  expect(await at('container', 'exec', '--env', 'nonsense', id, '--', 'true')).toMatchObject({ status: 2 });
  const detached = await at('container', 'exec', '--detach', id, '--', '/bin/busybox', 'sleep', '1000');
  expect(await at('container', 'kill', '--signal', 'TERM', detached.stdout.trim())).toMatchObject({ status: 0 });

  expect(await at('container', 'destroy', id)).toMatchObject({ status: 1, stdout: '' });
  expect(await at('container', 'kill', id)).toMatchObject({ status: 0, stdout: `${id}\n` });
  await expect.poll(async () => (await client.request('container/state', { id })).status).toBe('stopped');
  expect(await at('container', 'destroy', id)).toEqual({ status: 0, stdout: `${id}\n`, stderr: '' });
  expect((await at('container', 'inspect', id)).stderr).toContain('There is no container');
});
