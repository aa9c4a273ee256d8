// What the requests of a client hold of files: bounded, in their order, and given back whatever comes.
import { describe, expect, it } from 'vitest';
import { FileBudget, FileReservation, smallFileBytes } from '../../../src/drivers/parse/file-budget.ts';
import { CancelledError, waitingFromNow } from '../../../src/drivers/request.ts';

const MiB = 1024 ** 2;
// What a parse may take does not count here.
const soon = () => waitingFromNow({ timeoutMs: 60_000, queueTimeoutMs: 50 });
const late = () => waitingFromNow({ timeoutMs: 1, queueTimeoutMs: 60_000 });
/** Lets what can go on do so. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('the budget for files', () => {
  it('has place for as much as it may hold, and for one file that is larger', async () => {
    const budget = new FileBudget(10 * MiB);
    const [first, second, third] = [
      new FileReservation(budget, late(), undefined),
      new FileReservation(budget, late(), undefined),
      new FileReservation(budget, late(), undefined),
    ];
    expect([first.tryTake(6 * MiB), second.tryTake(4 * MiB), third.tryTake(MiB)]).toEqual([true, true, false]);
    // Asked again, it is the same file.
    expect(first.tryTake(6 * MiB)).toBe(true);
    first[Symbol.dispose]();
    second[Symbol.dispose]();
    expect(third.tryTake(100 * MiB)).toBe(true);
    third[Symbol.dispose]();
    await new FileReservation(budget, late(), undefined).take(10 * MiB);
  });

  it('lets small files pass', () => {
    const budget = new FileBudget(MiB);
    expect(new FileReservation(budget, late(), undefined).tryTake(100 * MiB)).toBe(true);
    for (let files = 0; files < 100; files += 1)
      expect(new FileReservation(budget, late(), undefined).tryTake(smallFileBytes)).toBe(true);
  });

  it('has those that wait enter in their order, when there is room for them', async () => {
    const budget = new FileBudget(10 * MiB);
    const holder = new FileReservation(budget, late(), undefined);
    await holder.take(8 * MiB);
    const entered: string[] = [];
    const enter = async (name: string, bytes: number) => {
      const reservation = new FileReservation(budget, late(), undefined);
      await reservation.take(bytes);
      entered.push(name);
      return reservation;
    };
    const large = enter('large', 9 * MiB);
    const other = enter('other', MiB);
    await turn();
    // The other would fit, and does not pass.
    expect(new FileReservation(budget, late(), undefined).tryTake(MiB)).toBe(false);
    expect(entered).toEqual([]);
    holder.set(9 * MiB);
    await turn();
    expect(entered).toEqual([]);
    holder[Symbol.dispose]();
    await Promise.all([large, other]);
    expect(entered).toEqual(['large', 'other']);
  });

  it('is waited for no longer than a request may wait, or its client wants it', async () => {
    const budget = new FileBudget(10 * MiB);
    const holder = new FileReservation(budget, late(), undefined);
    await holder.take(10 * MiB);
    await expect(new FileReservation(budget, soon(), undefined).take(9 * MiB)).rejects.toMatchObject({
      kind: 'timeout',
      data: { limit: 'queueTimeoutMs', timeoutMs: 50, phase: 'waiting for other files' },
    });
    const controller = new AbortController();
    const taken = expect(new FileReservation(budget, late(), controller.signal).take(9 * MiB)).rejects.toBeInstanceOf(
      CancelledError,
    );
    const behind = new FileReservation(budget, late(), undefined);
    holder.set(5 * MiB);
    const entered = behind.take(5 * MiB);
    controller.abort();
    await taken;
    await entered;
    await expect(new FileReservation(budget, late(), controller.signal).take(1)).rejects.toBeInstanceOf(CancelledError);
    holder[Symbol.dispose]();
    behind[Symbol.dispose]();
    expect(new FileReservation(budget, late(), undefined).tryTake(10 * MiB)).toBe(true);
  });
});
