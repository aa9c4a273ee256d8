// Booting one container: its bundle, its cgroups, its start, and what is to be removed when it has ended or failed.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import { BabelhostError, messageOf } from '../errors.ts';
import type { Logger } from '../log.ts';
import {
  cgroupResources,
  containerCgroups,
  containerFolders,
  makingArguments,
  type CgroupPlacement,
} from './cgroup-placement.ts';
import { countOutOfMemory, removeCgroup } from './cgroup.ts';
import { RunningContainer, type Container } from './container.ts';
import { exitOf, type ContainerExit } from './exit.ts';
import { executeInContainer } from './execute.ts';
import { explainFailure, explainSystemError } from './failures.ts';
import type { Guard } from './guard.ts';
import type { ContainerId } from './id.ts';
import { resourceLimits, substituteLimits } from './isolation.ts';
import { launch, LaunchFailure, type Launched } from './launch.ts';
import type { Limits } from './limits.ts';
import { containerIds, type IdRange, type Identity } from './owners.ts';
import type { Reapings } from './reapings.ts';
import { deleteArguments, readRuntimeLog, runArguments, type RuntimeProgram } from './runtime-program.ts';
import { explainVersion } from './runtime-version.ts';
import type { SeccompFilter } from './seccomp-filter.ts';
import { runtimeEnvironment, spawnProcess } from './spawn.ts';
import { containerSpec, type ContainerProcess } from './spec.ts';
import { resolveUser, type ContainerUser } from './user.ts';

/** What all containers of a host have in common. */
export interface BootContext {
  readonly bootstrap: string;
  readonly runtime: RuntimeProgram;
  readonly guard: Guard;
  readonly reapings: Reapings;
  readonly identity: Identity;
  readonly placement: CgroupPlacement;
  /** The name of this host's cgroup. */
  readonly cgroup: string;
  readonly stage: string;
  /** This host's own folder: bundles, and the runtime's state. */
  readonly folder: string;
  readonly highestLimits: Readonly<Record<string, number>>;
  readonly oomScoreAdj: number;
  readonly seccompFilter: SeccompFilter;
  readonly bootTimeoutMs: number;
  readonly logger: Logger;
}

export interface BootOptions {
  readonly id: ContainerId;
  readonly rootfs: string;
  readonly process: ContainerProcess & { readonly user: string };
  readonly limits: Limits;
  /** Undefined for the one that is around babelhost, where no other may be set (host-name.ts). */
  readonly hostname: string | undefined;
  /** The folder with the writable layer (`upper` and `work`); undefined for a root that is read-only. */
  readonly layer?: string | undefined;
}

interface ContainerFiles {
  readonly bundle: string;
  readonly state: string;
  readonly log: string;
  readonly pidFile: string;
}

/** How long process 1 has to end when its channel is closed, before it is killed by its process id. */
const endPatienceMs = 2000;

/** How long the runtime may take to remove a half-made container. */
const deletePatienceMs = 5000;

/**
 * Boots a container and resolves when its command has been executed.
 * @throws BabelhostError `containerFailed`, `timeout`; the signal's reason if it is aborted
 */
export async function bootContainer(
  context: BootContext,
  options: BootOptions,
  signal: AbortSignal | undefined,
): Promise<Container> {
  signal?.throwIfAborted();
  const files = filesOf(context, options.id);
  const endBoot = context.reapings.beginBoot();
  let launching = false;
  try {
    const spec = await makeSpec(context, options);
    launching = true;
    const launched = await launch({
      guard: context.guard,
      id: options.id,
      arguments: [
        ...[files.pidFile, '--config', path.join(files.bundle, 'config.json')],
        ...makingArguments(context.placement, options.id, options.limits),
        ...['--rootfs', options.rootfs, ...layerArguments(context.identity, options.layer)],
        ...['--', ...runArguments(context.runtime, files, options.id)],
      ],
      content: JSON.stringify(spec),
      timeoutMs: context.bootTimeoutMs,
      signal,
    });
    void context.seccompFilter.learn(path.join(files.state, options.id));
    return watch(context, options, files, launched);
  } catch (error) {
    const explained =
      error instanceof LaunchFailure
        ? await explainLaunch(error, context, files.log)
        : explainSystemError('start a container', error);
    if (launching) await deleteContainer(context, files, options.id);
    await removeRemains(context, files, options.id);
    throw explained;
  } finally {
    endBoot();
  }
}

function filesOf(context: BootContext, id: ContainerId): ContainerFiles {
  const bundle = path.join(context.folder, 'bundles', id);
  return {
    bundle,
    state: path.join(context.folder, 'state'),
    log: path.join(bundle, 'log.json'),
    pidFile: path.join(bundle, 'pid'),
  };
}

/** The options of `bootstrap run` that make it enter what the guard has made. */
function identityArguments(identity: Identity): string[] {
  if (identity.kind === 'privileged') return [];
  return identity.kind === 'granted' ? ['--user-namespace', '--set-groups'] : ['--user-namespace'];
}

function layerArguments(identity: Identity, layer: string | undefined): string[] {
  if (layer === undefined) return [];
  const owner = identity.kind === 'granted' ? ['--owner', String(idRanges(identity).uids.first)] : [];
  return ['--layer', layer, ...owner];
}

/** The ids that a container gets, as the namespace that the runtime runs in has them. */
function idRanges(identity: Identity): { uids: IdRange; gids: IdRange } {
  switch (identity.kind) {
    case 'privileged':
      return { uids: identity.ids, gids: identity.ids };
    case 'granted': {
      const range = (granted: IdRange) => ({ first: 1, count: Math.min(granted.count, containerIds) });
      return { uids: range(identity.uids), gids: range(identity.gids) };
    }
    case 'own':
      return { uids: { first: 0, count: 1 }, gids: { first: 0, count: 1 } };
  }
}

/** The user that a process is to have, as the container knows it. */
export async function processUser(identity: Identity, rootfs: string, name: string): Promise<ContainerUser> {
  const { uids, gids } = idRanges(identity);
  const user = await resolveUser(rootfs, name, Math.min(uids.count, gids.count));
  // Without a granted range the kernel forbids setgroups(2).
  return identity.kind === 'own' ? { ...user, additionalGids: [] } : user;
}

async function makeSpec(context: BootContext, options: BootOptions): Promise<object> {
  const { identity, placement } = context;
  const { uids, gids } = idRanges(identity);
  return containerSpec({
    process: options.process,
    user: await processUser(identity, options.rootfs, options.process.user),
    hostname: options.hostname,
    writable: options.layer !== undefined,
    limits: options.limits,
    stage: context.stage,
    uids,
    gids,
    rlimits: resourceLimits(options.limits, context.highestLimits),
    initArguments: substituteLimits(placement, options.limits),
    oomScoreAdj: context.oomScoreAdj,
    annotations: context.seccompFilter.annotations(),
    ...(placement.maker === 'runtime' && {
      cgroup: {
        path: `/${context.cgroup}/${options.id}`,
        resources: cgroupResources(placement, options.limits),
      },
    }),
  });
}

/** Follows a container that was started to its end, and removes what it leaves. */
function watch(context: BootContext, options: BootOptions, files: ContainerFiles, launched: Launched): Container {
  const { id, limits } = options;
  const { control, pid, guardPid } = launched;
  const cgroups = containerCgroups(context.placement, id);
  let killed = false;
  let patience: NodeJS.Timeout | undefined;
  let outOfTime: number | undefined;
  const end = () => {
    if (killed) return;
    killed = true;
    control.close();
    patience = setTimeout(() => {
      killProcess(pid);
    }, endPatienceMs);
  };
  const { runTimeMs } = limits;
  const runTime =
    runTimeMs === 0
      ? undefined
      : setTimeout(() => {
          if (!killed) outOfTime = runTimeMs;
          end();
        }, runTimeMs);
  // Process 1 has said its last word, and the kernel has ended everything else before the guard could reap it.
  const gone = Promise.all([control.ended, context.reapings.wait(guardPid)]);
  const exited = gone.then(async (): Promise<ContainerExit> => {
    clearTimeout(patience);
    clearTimeout(runTime);
    const outOfMemory = (await countOutOfMemory(cgroups)) > 0 ? limits.memoryBytes : undefined;
    const exit = exitOf(launched.lastReport(), killed, outOfMemory, outOfTime);
    context.logger.debug({ container: id, pid, exit }, 'a container has ended');
    return exit;
  });
  const letHostEnd = context.guard.keepHostAlive();
  const removed = exited.then(() => removeRemains(context, files, id)).finally(letHostEnd);
  return new RunningContainer({
    id,
    pid,
    cgroups,
    memoryBytes: limits.memoryBytes,
    stdin: launched.stdin,
    stdout: launched.stdout,
    stderr: launched.stderr,
    exited,
    removed,
    signal: (number) => {
      control.signal(number);
    },
    execute: (process, signal) =>
      executeInContainer({ context, options, state: files.state, bundle: files.bundle }, process, signal),
    end,
  });
}

/** Sends SIGKILL by process id: the guard has not reaped it yet, or nobody would ask, so the id is still its own. */
function killProcess(pid: number): void {
  if (pid === 0) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended in this very moment.
  }
}

/** Says why a container, or a process in one, could not be started. `log` is what the runtime wrote. */
export async function explainLaunch(
  failure: LaunchFailure,
  context: BootContext,
  log: string,
): Promise<BabelhostError> {
  const { report, status } = failure;
  if (report?.kind === 'failed') {
    return new BabelhostError(
      'containerFailed',
      `The image's command ${report.command} could not be executed: ${report.error}. ${executionAdvice(report.error)}`,
      { reason: report.error, command: report.command },
    );
  }
  const messages = await readRuntimeLog(log);
  const text =
    [...messages, failure.complaints].filter(Boolean).join('; ') || `the runtime ended with status ${status ?? '?'}`;
  const { name, path: runtime } = context.runtime;
  const tooOld = await explainVersion(runtime);
  return explainFailure(`start a container with ${name}`, text, { status, runtime }, tooOld);
}

function executionAdvice(error: string): string {
  switch (error) {
    case 'ENOENT':
      return 'The image lacks it, or the interpreter that its first line names, or the dynamic loader that it is linked with.';
    case 'EACCES':
      return 'It is no executable file for the user that the image runs as.';
    case 'ENOEXEC':
      return 'It is not a program of this machine: see that the image is for its architecture.';
    default:
      return 'See that the image is for this machine.';
  }
}

/** Has the runtime kill and forget a container that it may have made half. */
async function deleteContainer(context: BootContext, files: ContainerFiles, id: ContainerId): Promise<void> {
  const args = ['run', ...identityArguments(context.identity), '--', ...deleteArguments(context.runtime, files, id)];
  let child: ChildProcess;
  try {
    child = await spawnProcess('remove a container', context.bootstrap, args, {
      // The last is what the bootstrap watches for our end.
      stdio: ['ignore', 'ignore', 'ignore', context.guard.processFolder.fd, 'pipe'],
      env: runtimeEnvironment(),
    });
  } catch (error) {
    context.logger.warn(
      { container: id, reason: messageOf(error) },
      'could not remove what a failed boot may have left',
    );
    return;
  }
  const lifeline = child.stdio[4] as Duplex;
  lifeline.on('error', () => undefined);
  // A runtime that hung when it was to start may hang again; at the end of its lifeline the bootstrap kills it.
  const timer = setTimeout(() => lifeline.end(), deletePatienceMs);
  await once(child, 'exit');
  clearTimeout(timer);
  lifeline.destroy();
}

/** Runs a program in the guard's namespaces, with nothing on stdin; see ContainerRuntime.runBeside. */
export async function runInGuard(context: BootContext, command: readonly string[]) {
  const args = ['run', ...identityArguments(context.identity), '--', ...command];
  const child = await spawnProcess('run a program beside containers', context.bootstrap, args, {
    stdio: ['ignore', 'pipe', 'ignore', context.guard.processFolder.fd, 'pipe'],
    env: runtimeEnvironment(),
  });
  const lifeline = child.stdio[4] as Duplex;
  lifeline.on('error', () => undefined);
  let output = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-8192);
  });
  const [status] = (await once(child, 'close')) as [number | null];
  lifeline.destroy();
  return { status, output };
}

/** Removes the bundle, the runtime's state and the cgroups of a container without processes. */
async function removeRemains(context: BootContext, files: ContainerFiles, id: ContainerId): Promise<void> {
  const removals = [
    rm(files.bundle, { recursive: true, force: true }),
    rm(path.join(files.state, id), { recursive: true, force: true }),
    ...containerFolders(context.placement, id).map(removeCgroup),
  ];
  for (const result of await Promise.allSettled(removals)) {
    if (result.status === 'fulfilled') continue;
    // The guard removes it with everything else when the host ends.
    context.logger.warn({ container: id, reason: messageOf(result.reason) }, 'could not remove part of a container');
  }
}
