// Booting one container: its configuration, its start, and what is to be removed if that has failed.
import path from 'node:path';
import { cgroupResources, makingArguments } from '../cgroup/placement.ts';
import { explainLaunch, explainSystemError } from '../diagnose/failures.ts';
import { deleteContainer } from '../guard/exec-in-guard.ts';
import { launch, LaunchFailure } from './launch.ts';
import { idMappings, type IdRange } from '../oci/id-mapping.ts';
import { runArguments } from '../oci/runtime-program.ts';
import { seccompProfile } from '../oci/seccomp.ts';
import { containerSpec } from '../oci/spec.ts';
import type { BootContext, BootOptions } from './boot-context.ts';
import { filesOf, removeRemains } from './container-files.ts';
import { Container } from './container.ts';
import { processOptions } from './process-options.ts';

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
  const { guard, ranges } = context;
  const files = filesOf(guard, options.id);
  const endBoot = guard.beginBoot();
  const own = ranges?.take();
  let launching = false;
  try {
    const spec = await makeSpec(context, options, own);
    launching = true;
    const launched = await launch({
      guard,
      id: options.id,
      arguments: [
        ...[files.pidFile, '--config', path.join(files.bundle, 'config.json')],
        ...makingArguments(context.placement, options.id, options.limits),
        ...rootArguments(context, options, own),
        ...['--', ...runArguments(context.runtime, files, options.id)],
      ],
      content: JSON.stringify(spec),
      timeoutMs: context.bootTimeoutMs,
      signal,
    });
    void context.seccompFilter.learn(guard.seen(path.join(files.state, options.id)), seccompProfile);
    const container = new Container(context, options, files, launched);
    void container.exited.then(() => ranges?.release(own));
    return container;
  } catch (error) {
    ranges?.release(own);
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
  const { placement } = context;
  return containerSpec({
    ...(await processOptions(context, options, options.process, 'command')),
    ...idMappings(context.idMapping, own),
    hostname: options.hostname,
    writable: options.layer !== undefined,
    limits: options.limits,
    stage: context.guard.stage,
    annotations: context.seccompFilter.annotations(seccompProfile),
    ...(placement.maker === 'runtime' && {
      cgroup: {
        path: `/${placement.name}/${options.id}`,
        resources: cgroupResources(placement, options.limits),
      },
    }),
  });
}
