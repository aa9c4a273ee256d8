// A container that was started, followed to its end: how it is ended, how it ended, and what is removed then.
import type { BootContext, BootOptions } from './boot-context.ts';
import { containerCgroups } from '../cgroup/placement.ts';
import { countOutOfMemory } from '../cgroup/cgroup.ts';
import { removeRemains, type ContainerFiles } from './container-files.ts';
import { RunningContainer, type Container } from './container.ts';
import { executeInContainer } from './execute.ts';
import { confirmedEnd, exitOf, type ContainerExit } from './exit.ts';
import { keepKilling } from './kill.ts';
import type { Launched } from '../guard/launch.ts';

/** Follows a container that was started to its end, and removes what it leaves. */
export function supervise(
  context: BootContext,
  options: BootOptions,
  files: ContainerFiles,
  launched: Launched,
): Container {
  const { id, limits } = options;
  const { channel, process } = launched;
  const cgroups = containerCgroups(context.placement, id);
  let killed = false;
  let over = false;
  let stopKilling: (() => void) | undefined;
  let outOfTime: number | undefined;
  let fault: string | undefined;
  const end = () => {
    // Where it has ended by itself there is nothing to end, and its ids are anybody's.
    if (killed || over) return;
    killed = true;
    channel.close();
    stopKilling = keepKilling(context.guard, process);
  };
  const endForFault = (line: string) => {
    if (!killed && !over) fault = line;
    end();
  };
  void launched.fault.then(endForFault);
  const { runTimeMs } = limits;
  const runTime =
    runTimeMs === 0
      ? undefined
      : setTimeout(() => {
          if (!killed) outOfTime = runTimeMs;
          end();
        }, runTimeMs);
  // The kernel has ended everything else before the guard could reap process 1.
  const exited = context.exitWaiters.wait(process.guardPid).then(async (status): Promise<ContainerExit> => {
    over = true;
    stopKilling?.();
    clearTimeout(runTime);
    await channel.finish();
    const outOfMemory = (await countOutOfMemory(cgroups)) > 0 ? limits.memoryBytes : undefined;
    const report = confirmedEnd(launched.lastReport(), status);
    const exit = exitOf({ report, killed, outOfMemory, outOfTime, fault });
    context.logger.debug({ container: id, pid: process.pid, exit }, 'a container has ended');
    return exit;
  });
  const letHostEnd = context.guard.keepHostAlive();
  const removed = exited.then(() => removeRemains(context, files, id)).finally(letHostEnd);
  return new RunningContainer({
    id,
    pid: process.pid,
    cgroups,
    memoryBytes: limits.memoryBytes,
    stdin: launched.stdin,
    stdout: launched.stdout,
    stderr: launched.stderr,
    exited,
    removed,
    signal: (number) => {
      channel.signal(number);
    },
    execute: (further, kind, abort) =>
      executeInContainer(
        { context, options, state: files.state, bundle: files.bundle, endForFault },
        further,
        kind,
        abort,
      ),
    end,
  });
}
