// A container that was started, followed to its end: how it is ended, how it ended, and what is removed then.
import type { BootContext, BootOptions } from './boot-context.ts';
import { containerCgroups } from './cgroup-placement.ts';
import { countOutOfMemory } from './cgroup.ts';
import { removeRemains, type ContainerFiles } from './container-files.ts';
import { RunningContainer, type Container } from './container.ts';
import { executeInContainer } from './execute.ts';
import { exitOf, type ContainerExit } from './exit.ts';
import { killProcess } from './kill.ts';
import type { Launched } from './launch.ts';

/** How long process 1 has to end when its channel is closed, before it is killed, and before that is tried again. */
const endPatienceMs = 2000;

/** Follows a container that was started to its end, and removes what it leaves. */
export function follow(
  context: BootContext,
  options: BootOptions,
  files: ContainerFiles,
  launched: Launched,
): Container {
  const { id, limits } = options;
  const { control, process } = launched;
  const cgroups = containerCgroups(context.placement, id);
  let killed = false;
  let over = false;
  let patience: NodeJS.Timeout | undefined;
  let outOfTime: number | undefined;
  const end = () => {
    // Where it has ended by itself there is nothing to end, and its ids are anybody's.
    if (killed || over) return;
    killed = true;
    control.close();
    patience = setInterval(() => {
      killProcess(context.guard, process);
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
  const gone = Promise.all([control.ended, context.reapings.wait(process.guardPid)]);
  const exited = gone.then(async (): Promise<ContainerExit> => {
    over = true;
    clearInterval(patience);
    clearTimeout(runTime);
    const outOfMemory = (await countOutOfMemory(cgroups)) > 0 ? limits.memoryBytes : undefined;
    const exit = exitOf(launched.lastReport(), killed, outOfMemory, outOfTime);
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
      control.signal(number);
    },
    execute: (further, abort) =>
      executeInContainer({ context, options, state: files.state, bundle: files.bundle }, further, abort),
    end,
  });
}
