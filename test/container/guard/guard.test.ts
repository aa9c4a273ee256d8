// The guard of a host's containers, as the host starts it.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ContainerRuntime } from '../../../src/container/index.ts';
import { Workplace } from '../settings.ts';

/** The processes that this one has started, at this instant. */
function children(): number[] {
  return readdirSync('/proc/self/task').flatMap((thread) =>
    readFileSync(`/proc/self/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  );
}

describe('the guard', () => {
  it('is there in the turn in which it was asked for: nothing else that the host does then keeps it waiting', async () => {
    await using place = await Workplace.make({ name: 'root', user: 'root', runtime: 'runc' });
    await using runtime = await ContainerRuntime.open({ directory: place.directory });
    const before = children();
    const prepared = runtime.prepare();
    const [keeper, ...others] = children().filter((pid) => !before.includes(pid));
    expect(others).toEqual([]);
    // The reaper, whose id it is, is a child of the keeper.
    const reaper = await prepared;
    expect(readFileSync(`/proc/${reaper}/status`, 'utf8')).toContain(`\nPPid:\t${keeper ?? 'none'}\n`);
    expect(await runtime.prepare()).toBe(reaper);
  });
});
