import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { CancelledError, parseTimeout, queueTimeout, waitingFromNow } from '../../../src/drivers/request.ts';
import { SharedRequests, type Given, type Sharer } from '../../../src/drivers/parse/shared-requests.ts';
import { BabelhostError } from '../../../src/base/errors.ts';

const minute = 60_000;
const timing = (times: { readonly timeoutMs?: number; readonly queueTimeoutMs?: number } = {}) =>
  waitingFromNow({ timeoutMs: minute, queueTimeoutMs: minute, ...times });
const sharer = (more: Partial<Sharer> = {}): Sharer => ({ client: { backedUp: false }, timing: timing(), ...more });

const k = { of: 'driver', line: Buffer.from('one source') };
const sameLength = { of: 'driver', line: Buffer.from('an address') };

/** Work that the test ends by hand. */
function works() {
  const begun: ({ finish: (result: string) => void; fail: (error: Error) => void } & Given)[] = [];
  const start = (given: Given): Promise<string> =>
    new Promise((finish, fail) => {
      begun.push({ finish, fail, ...given });
      given.signal.addEventListener('abort', () => {
        fail(new CancelledError());
      });
    });
  return { begun, start };
}

describe('identical requests in flight', () => {
  it('share one piece of work, and later ones do not', async () => {
    const shared = new SharedRequests<string>();
    const { begun, start } = works();
    const both = [shared.run(k, sharer(), start), shared.run(k, sharer(), start)];
    const other = shared.run(sameLength, sharer(), start);
    const ofAnother = shared.run({ ...k, of: 'another driver' }, sharer(), start);
    expect(begun).toHaveLength(3);
    begun[0]?.finish('one');
    begun[1]?.finish('two');
    begun[2]?.finish('of another');
    expect(await Promise.all([...both, other, ofAnother])).toEqual(['one', 'one', 'two', 'of another']);
    const later = shared.run(k, sharer(), start);
    begun[3]?.finish('three');
    expect(await later).toBe('three');
  });

  it('say of a result that several are about to get it, before any of them has it', async () => {
    const told: string[] = [];
    const shared = new SharedRequests<string>((result) => {
      told.push(result);
    });
    const { begun, start } = works();
    const both = [shared.run(k, sharer(), start), shared.run(k, sharer(), start)];
    const alone = shared.run(sameLength, sharer(), start);
    begun[0]?.finish('shared');
    begun[1]?.finish('of one');
    const first = both[0]?.then((result) => told.includes(result));
    expect(await first).toBe(true);
    await Promise.all([...both, alone]);
    expect(told).toEqual(['shared']);
  });

  it('are each cancelled alone, and the work is given up with the last of them', async () => {
    const shared = new SharedRequests<string>();
    const { begun, start } = works();
    const [first, second] = [new AbortController(), new AbortController()];
    const one = shared.run(k, sharer({ signal: first.signal }), start);
    const other = shared.run(k, sharer({ signal: second.signal }), start);
    first.abort();
    await expect(one).rejects.toThrow(CancelledError);
    expect(begun[0]?.signal.aborted).toBe(false);
    second.abort();
    await expect(other).rejects.toThrow(CancelledError);
    expect(begun[0]?.signal.aborted).toBe(true);
    // What is given up is not joined any more.
    const next = shared.run(k, sharer(), start);
    begun[1]?.finish('anew');
    expect(await next).toBe('anew');
  });

  it.each([
    ['timeoutMs', 'parsing'],
    ['queueTimeoutMs', 'waiting'],
  ] as const)('each keep their own %s: one of less leaves, one of more begins anew', async (limit, phase) => {
    const shared = new SharedRequests<string>();
    const { begun, start } = works();
    const first = shared.run(k, sharer(), start);
    begun[0]?.onPhase(phase);
    await expect(shared.run(k, sharer({ timing: timing({ [limit]: 20 }) }), start)).rejects.toMatchObject({
      kind: 'timeout',
      data: { limit, timeoutMs: 20 },
    });
    const patient = shared.run(k, sharer(), start);
    const short = timing({ [limit]: 30 });
    begun[0]?.fail(limit === 'timeoutMs' ? parseTimeout(short) : queueTimeout(short, 'waiting for an instance'));
    await expect(first).rejects.toMatchObject({ kind: 'timeout' });
    await expect.poll(() => begun.length).toBe(2);
    begun[1]?.finish('in time');
    expect(await patient).toBe('in time');
  });

  it('have each its time for a parse from when a driver has it, and again when another driver has it', async () => {
    const shared = new SharedRequests<string>();
    const { begun, start } = works();
    const first = shared.run(k, sharer(), start);
    const joined = shared.run(k, sharer({ timing: timing({ timeoutMs: 200 }) }), start);
    for (const phase of ['parsing', 'waiting', 'parsing'] as const) {
      await sleep(150);
      begun[0]?.onPhase(phase);
    }
    await sleep(150);
    begun[0]?.finish('in time');
    expect(await Promise.all([first, joined])).toEqual(['in time', 'in time']);
  });

  it('do not have a source parsed again that a driver has had for as long as they would give it', async () => {
    const shared = new SharedRequests<string>();
    const { begun, start } = works();
    const both = [shared.run(k, sharer(), start), shared.run(k, sharer(), start)];
    begun[0]?.fail(parseTimeout(timing()));
    for (const each of both) await expect(each).rejects.toMatchObject({ data: { limit: 'timeoutMs' } });
    expect(begun).toHaveLength(1);
  });

  it('fail together where the work fails, but not of the other’s full queue', async () => {
    const shared = new SharedRequests<string>();
    const { begun, start } = works();
    const crashed = new BabelhostError('driverCrashed', 'It died.');
    const both = [shared.run(k, sharer(), start), shared.run(k, sharer(), start)];
    begun[0]?.fail(crashed);
    for (const each of both) await expect(each).rejects.toBe(crashed);

    const greedy = shared.run(k, sharer(), start);
    const modest = shared.run(k, sharer(), start);
    begun[1]?.fail(new BabelhostError('overloaded', 'Too much.'));
    await expect(greedy).rejects.toMatchObject({ kind: 'overloaded' });
    await expect.poll(() => begun.length).toBe(3);
    begun[2]?.finish('room enough');
    expect(await modest).toBe('room enough');
  });

  it('do not wait for a client that does not read', async () => {
    const shared = new SharedRequests<string>();
    const { begun, start } = works();
    const deaf = { backedUp: false };
    const controller = new AbortController();
    const held = shared.run(k, sharer({ client: deaf, signal: controller.signal }), start);
    const follower = shared.run(k, sharer(), start);
    deaf.backedUp = true;
    const newcomer = shared.run(k, sharer(), start);
    expect(begun).toHaveLength(2);
    begun[1]?.finish('by another');
    expect(await newcomer).toBe('by another');
    await expect.poll(() => begun.length).toBe(3);
    begun[2]?.finish('by itself');
    expect(await follower).toBe('by itself');
    controller.abort();
    await expect(held).rejects.toThrow(CancelledError);
  });
});
