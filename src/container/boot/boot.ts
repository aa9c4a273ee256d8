// Booting one container: its configuration, its start, and what is to be removed if that has failed.
import path from 'node:path';
import type { BootContext, BootOptions } from './boot-context.ts';
import { cgroupResources, makingArguments } from '../cgroup/placement.ts';
import { filesOf, removeRemains } from './container-files.ts';
import type { Container } from './container.ts';
import { explainSystemError } from '../diagnose/failures.ts';
import { supervise } from './supervise.ts';
import { deleteContainer } from '../guard/exec-in-guard.ts';
import { resourceLimits, substituteLimits } from '../diagnose/isolation.ts';
import { launch, LaunchFailure } from '../guard/launch.ts';
import { explainLaunch } from '../diagnose/launch-failure.ts';
import { idMappings, type IdRange } from '../oci/id-mapping.ts';
import { runArguments } from '../oci/runtime-program.ts';
import { containerSpec } from '../oci/spec.ts';
import { processUser } from '../oci/user.ts';

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
  const endBoot = context.exitWaiters.beginBoot();
  const ids = context.ranges?.take();
  let launching = false;
  try {
    const spec = await makeSpec(context, options, ids?.range);
    launching = true;
    const launched = await launch({
      guard: context.guard,
      id: options.id,
      arguments: [
        ...[files.pidFile, '--config', path.join(files.bundle, 'config.json')],
        ...makingArguments(context.placement, options.id, options.limits),
        ...rootArguments(context, options, ids?.range),
        ...['--', ...runArguments(context.runtime, files, options.id)],
      ],
      content: JSON.stringify(spec),
      timeoutMs: context.bootTimeoutMs,
      signal,
    });
    const container = supervise(context, options, files, launched);
    void container.exited.then(() => ids?.[Symbol.dispose]());
    return container;
  } catch (error) {
    ids?.[Symbol.dispose]();
    const explained =
      error instanceof LaunchFailure
        ? await explainLaunch(error, context, options.process.args[0] ?? '', files.log)
        : explainSystemError('start a container', error);
    if (launching) await deleteContainer(context, files, options.id);
    await removeRemains(context, files, options.id);
    throw explained;
  } finally {
    endBoot();
  }
}

/** How the root file system is to be mounted (native/rootfs.c). */
function rootArguments({ guard, idMapping }: BootContext, { rootfs, layer }: BootOptions, own?: IdRange): string[] {
  const args = ['--rootfs', rootfs];
  if (layer === undefined && guard.lacks.overlay !== undefined) return [...args, '--bound'];
  if (idMapping.kind === 'privileged' && own !== undefined) {
    args.push('--ids', `${idMapping.ids.first}:${idMapping.ids.count}`, '--to', String(own.first));
  }
  if (layer === undefined) return args;
  const owner = idMapping.kind === 'granted' ? ['--owner', String(idMappings(idMapping).uids.first)] : [];
  return [...args, '--layer', layer, ...owner];
}

async function makeSpec(context: BootContext, options: BootOptions, own?: IdRange): Promise<object> {
  const { idMapping, placement } = context;
  const { uids, gids } = idMappings(idMapping, own);
  return containerSpec({
    process: options.process,
    user: await processUser(idMapping, options.rootfs, options.process.user),
    hostname: options.hostname,
    writable: options.layer !== undefined,
    limits: options.limits,
    stage: context.stage,
    uids,
    gids,
    rlimits: resourceLimits(options.limits, context.highestLimits),
    initArguments: substituteLimits(placement, options.limits),
    oomScoreAdj: context.oomScoreAdj,
    ...(placement.maker === 'runtime' && {
      cgroup: {
        path: `/${context.cgroup}/${options.id}`,
        resources: cgroupResources(placement, options.limits),
      },
    }),
  });
}
