// Every system call of a guard that starts a container and kills it fails in turn: whoever asked for the container is told
// why there is none, and the guard ends without leaving anything. With cgroups, and with a writable layer in a user namespace.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdtemp, mkdir, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readCgroupLayout } from '../../src/container/cgroup/cgroup.ts';
import { newContainerId } from '../../src/container/id.ts';
import { beginning, type ConnectionKind } from '../../src/container/guard/starter-connection.ts';
import { bootstrapPath, initProgramPath } from '../../src/base/native.ts';
import { allOf, environment, faultsOf, hung, processesNaming, sanitized, trace, type Scenario } from './tracing.ts';

let folder: string;
let directory: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-faults-'));
  // What the namespace's own ids are to reach.
  await chmod(folder, 0o755);
  directory = path.join(folder, 'hosts');
  await mkdir(directory);
  await mkdir(path.join(folder, 'rootfs', 'dev'), { recursive: true });
  // Does what a runtime does: leaves a process behind that has the pipes, here with a child, and writes its id.
  const runtime = `#!/bin/sh\nsh -c 'sleep 1000; : ${folder}' & echo $! > "$1"\n`;
  await writeFile(path.join(folder, 'runtime'), runtime, { mode: 0o755 });
});

afterEach(async () => {
  expect(await processesNaming(folder)).toEqual([]);
  await rm(folder, { recursive: true });
});

/**
 * Sends a request, with the connections that belong to it, and has what was started killed. Resolves when that is so, or
 * cannot be; with what came back on the starter's channel.
 */
async function request(socket: string, args: readonly string[], content: string): Promise<string> {
  const id = newContainerId();
  const open = (...begun: [ConnectionKind, string[]?, string?]) => {
    const connection = connect(socket);
    connection.on('error', () => undefined);
    connection.write(beginning(id, ...begun));
    return connection;
  };
  const starter = open('start', [...args], content);
  const answer = allOf(starter);
  const others = (['stdin', 'stdout', 'stderr', 'channel'] as const).map((kind) => open(kind));
  // One that breaks off before the container is there takes the others with it.
  for (const connection of others) connection.resume().on('close', () => starter.end());
  const [, guardPid, start] = /^process \d+ (\d+) (\d+)$/m.exec(await answer) ?? [];
  if (guardPid === undefined || start === undefined) return answer;
  await allOf(open('kill', [guardPid, start]));
  return answer;
}

/** A guard that is asked for one container and then to end. */
function startScenario(guardArguments: readonly string[], args: readonly string[]): Scenario {
  return async (command) => {
    const name = newContainerId();
    const runtime = path.join(folder, 'runtime');
    const pidFile = path.join(folder, 'bundles', name, 'pid');
    const [program, ...rest] = [...command, 'guard', '--directory', directory, '--name', name, '--stage', '/mnt'];
    const child = spawn(program, [...rest, '--init', initProgramPath(), '--runtime', runtime, ...guardArguments], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: environment,
      ...hung,
    });
    child.stdin.on('error', () => undefined);
    let answer = '';
    let lines = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      const wasReady = lines.includes('ready');
      lines += chunk;
      if (wasReady || !lines.includes('ready')) return;
      const config = ['--config', path.join(folder, 'bundles', name, 'config.json')];
      void request(
        path.join(directory, name, 'start'),
        [pidFile, ...config, ...args, '--', runtime, pidFile],
        '{}',
      ).then((said) => {
        answer = said;
        child.stdin.end();
      });
    });
    const complaint = text(child.stderr);
    const [status] = (await once(child, 'close')) as [number | null];
    return { status, complaint: await complaint, answer };
  };
}

async function failEach(scenario: Scenario, least: number): Promise<void> {
  const log = path.join(folder, 'trace');
  const faults = await faultsOf(scenario, log);
  if (!sanitized) expect(faults.length).toBeGreaterThan(least);
  for (const fault of faults) {
    const { status, complaint, answer } = await trace(scenario, log, fault);
    const where = `${fault.call} ${fault.when}: status ${status}, ${complaint}, ${answer}`;
    expect(status, where).not.toBe(null);
    expect(await processesNaming(folder), where).toEqual([]);
    // Either it was started all the same, or somebody says why not: the child, the runtime's status, or the guard.
    const told =
      /^process \d+ \d+ \d+$/m.test(answer ?? '') || /^bootstrap: .*\(E[A-Z]+\)/m.test(`${answer}${complaint}`);
    if (!told && !/^ended \d+$/m.test(answer ?? '')) expect(fault.call, where).toBe('recvfrom');
    expect(await readFile('/proc/self/mountinfo', 'utf8'), where).not.toContain(folder);
  }
  // What could not be removed, the next guard removes.
  expect(await scenario(['env', '--', bootstrapPath()])).toMatchObject({
    status: 0,
  });
  expect(await readdir(directory)).toEqual([]);
}

describe('a start whose system calls fail', () => {
  it('is answered with the reason, in cgroups', async () => {
    const hierarchy = readCgroupLayout().hierarchies.find(({ controllers }) => controllers.includes('pids'));
    expect(hierarchy).toBeDefined();
    const cgroup = path.join(hierarchy?.mountPoint ?? '', `babelhost-test-${newContainerId()}`);
    await mkdir(cgroup);
    try {
      // Removed by each guard at its end, with the container's in it.
      const scenario: Scenario = async (command) => {
        await mkdir(cgroup, { recursive: true });
        const container = path.join(cgroup, 'container');
        const settings = ['--set', 'notify_on_release', '0', '--try', 'no.such.file', '1'];
        const args = ['--cgroup', container, '--make', ...(hierarchy?.version === 1 ? settings : settings.slice(3))];
        const rootfs = ['--rootfs', path.join(folder, 'rootfs')];
        return startScenario(['--cgroup', cgroup], [...args, ...rootfs])(command);
      };
      await failEach(scenario, 100);
    } finally {
      await rmdir(path.join(cgroup, 'container')).catch(() => undefined);
      await rmdir(cgroup).catch(() => undefined);
    }
  });

  it('is answered with the reason, with a writable layer and ids of its own', async () => {
    const layer = path.join(folder, 'layer');
    for (const part of ['upper', 'work']) {
      await mkdir(path.join(layer, part), { recursive: true });
    }
    for (const owned of ['', 'upper', 'work']) await chown(path.join(layer, owned), 0, 0);
    const ids = ['--user-namespace', '--uids', '1879048192:65536', '--gids', '1879048192:65536', '--owner', '1'];
    const args = ['--rootfs', path.join(folder, 'rootfs'), '--layer', layer, '--owner', '1'];
    await failEach(startScenario(ids, args), 100);
  });
});
