// Containers whose processes say what they like in the place of babelhost's own. They cannot, where these are protected
// (hostile-neighbours.test.ts): here an OCI runtime starts a script in their place.
import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ContainerRuntime, type Container } from '../../src/container/index.ts';
import { Workplace } from './settings.ts';

let place: Workplace;
let runtime: ContainerRuntime;

beforeEach(async () => {
  place = await Workplace.make({ name: 'root', user: 'root', runtime: 'runc' });
});
afterEach(async () => {
  await runtime[Symbol.asyncDispose]();
  await place[Symbol.asyncDispose]();
});

/** Boots a container with `instead` in the place of what `command` of the runtime would execute: shell, channel at 3. */
async function boot(command: 'run' | 'exec', instead: string): Promise<Container> {
  const file = path.join(place.folder, 'runtime');
  await writeFile(
    file,
    `#!/bin/sh
exec 5<&0
for word in "$@"; do [ "$last" = --pid-file ] && file=$word; last=$word; done
case "$*" in
  *" ${command} "*) sh -c '${instead}' <&5 5<&- & echo $! > "$file";;
  *) exec runc "$@";;
esac
`,
  );
  await chmod(file, 0o755);
  runtime = await ContainerRuntime.open({ directory: place.directory, runtime: file });
  const process = { args: ['sleep', '1000'], env: { PATH: '/bin' }, cwd: '/', user: '' };
  return await runtime.boot({ rootfs: place.rootfs, process });
}

const forged = 'process 1 999999 1';
const fault = { reason: 'protocolFault', line: forged };

describe('a container whose process 1 does not say what it should', () => {
  it('is not started', async () => {
    await expect(boot('run', `echo ${forged} >&3; echo started >&3; exec sleep 1000`)).rejects.toMatchObject({
      kind: 'containerFailed',
      message: expect.stringContaining(`wrote '${forged}' in the place of babelhost's own`) as string,
      data: fault,
    });
  });

  it('is ended from outside when it says so later', async () => {
    const container = await boot('run', `echo started >&3; read line; echo ${forged} >&3; exec sleep 1000`);
    container.stdin.write('now\n');
    expect(await container.exited).toEqual(fault);
  });

  it('has not ended when it says so, but when the guard does', async () => {
    const container = await boot('run', 'echo started >&3; echo exited 0 >&3; exec sleep 1000');
    expect(await container.kill()).toEqual({ reason: 'killed' });
  });

  it('has ended as the guard says, not as it does', async () => {
    const container = await boot('run', 'echo started >&3; echo exited 0 >&3; exit 3');
    expect(await container.exited).toEqual({ reason: 'exited', code: 3 });
  });

  it('has ended when the guard says so, whoever has its channel', async () => {
    const container = await boot('run', 'echo started >&3; sleep 1000 & exit 3');
    expect(await container.exited).toEqual({ reason: 'exited', code: 3 });
  });
});

describe('a further process that does not say what it should', () => {
  const process = { args: ['true'], env: {}, cwd: '/', user: '' };

  it('ends the container before it is started', async () => {
    const container = await boot('exec', `echo ${forged} >&3; exec sleep 1000`);
    await expect(container.execute(process)).rejects.toMatchObject({ kind: 'containerFailed', data: fault });
    expect(await container.exited).toEqual(fault);
  });

  it('ends the container later on, too', async () => {
    const container = await boot('exec', `echo started >&3; read line; echo ${forged} >&3; exec sleep 1000`);
    const executed = await container.execute(process);
    executed.stdin.write('now\n');
    expect(await container.exited).toEqual(fault);
    expect(await executed.kill()).toEqual({ reason: 'killed' });
  });

  it('ends the container where it is one that has nothing to say', async () => {
    const container = await boot('exec', 'echo started >&3; exec sleep 1000');
    await Promise.allSettled([container.executeInit(['get', '1', '/bin/sh'], '')]);
    expect(await container.exited).toEqual({ reason: 'protocolFault', line: 'started' });
  });
});
