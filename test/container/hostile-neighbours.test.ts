// Processes of a container that meddle with those that babelhost starts beside them.
import { execFile } from 'node:child_process';
import { chmod, copyFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { initProgramPath } from '../../src/base/native.ts';
import { eventually, HostError, runcSettings, settings, Workplace, type TestHost } from './settings.ts';
import { isLong, stormOf } from '../support/storm.ts';

const execute = promisify(execFile);
const source = fileURLToPath(new URL('./fixtures/meddler.c', import.meta.url));

const isHostError = (error: unknown, kind: HostError['kind']) => error instanceof HostError && error.kind === kind;

/** How long an attack is tried where it can work: it takes luck. */
const attackMs = 60_000;
/** How often it is tried where it must not work. */
const attempts = stormOf(8, 20);

describe.each(isLong ? settings : runcSettings)('a hostile neighbour ($name)', (setting) => {
  let place: Workplace;
  let host: TestHost;

  beforeAll(async () => {
    place = await Workplace.make(setting);
    await execute('cc', ['-static', '-O1', '-o', path.join(place.rootfs, 'bin/meddler'), source]);
    // As everybody may read it.
    await copyFile(initProgramPath(), path.join(place.rootfs, 'bin/init'));
    await chmod(path.join(place.rootfs, 'bin/init'), 0o755);
    for (const name of ['small', 'large']) await writeFile(path.join(place.rootfs, name), name);
    host = await place.host();
  });

  afterAll(async () => {
    await place[Symbol.asyncDispose]();
  });

  const boot = async (...words: string[]) => {
    const container = await host.boot({ args: ['meddler', ...words] });
    expect(await container.line()).toBe('ready');
    return container;
  };

  it('holds a process before its first instruction, and finds it closed', async () => {
    const held = async (program: string) =>
      (await host.run({ args: ['meddler', 'hold', program, 'get', '5', '/small'] })).stdout;
    expect(await held('/bin/init')).toBe('mem environ maps fd/1 exe\n');
    expect(await held('/dev/init')).toBe('nothing\n');
  });

  it('makes a program read another file than it is told, but not the one that copies files', async () => {
    const container = await boot('patch', '/small', '/large');
    const read = async (how: 'execute' | 'executeInit', ...program: string[]) =>
      (await container[how]([...program, 'get', '5', '/small'])).stdout;
    await eventually(async () => (await read('execute', '/bin/init')) === '644\nlarge', attackMs);
    for (let times = 0; times < attempts; times += 1) expect(await read('executeInit')).toBe('644\nsmall');
    await container.kill();
  });

  it('makes a process say what another does, but not the one that the host listens to', async () => {
    const forged = 'process 1 999999 1\\nstarted\\n';
    const container = await boot('patch', 'started\\n', forged);
    const unprotected = ['sh', '-c', 'exec 3>&1; exec /bin/init -- true'];
    await eventually(
      async () => (await container.execute(unprotected)).stdout.startsWith('process 1 999999 1\nstarted\n'),
      attackMs,
    );
    for (let times = 0; times < attempts; times += 1) {
      const { pid, exit } = await container.execute(['true']);
      expect(pid).not.toBe(1);
      expect(exit).toEqual({ reason: 'exited', code: 0 });
    }
    expect(await container.kill()).toEqual({ reason: 'killed' });
  });

  it('stops what is started beside it, and keeps the host waiting for no longer than it will', async () => {
    const impatient = await place.host({ bootTimeoutMs: 1000 });
    const container = await impatient.boot({ args: ['meddler', 'halt'] });
    expect(await container.line()).toBe('ready');
    // One that has been started before it is stopped is killed.
    const attempt = () => container.execute(['true'], 500).catch((error: unknown) => error);
    await eventually(async () => isHostError(await attempt(), 'timeout'), attackMs);
    const started = performance.now();
    expect(await container.kill()).toEqual({ reason: 'killed' });
    expect(performance.now() - started).toBeLessThan(2000);
  });
});
