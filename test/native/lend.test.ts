// A lock that the bootstrap lends besides one that it holds: taken and let go as it is asked for, while the first one stays.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bootstrapPath } from '../../src/native.ts';
import { somebodyWaitsFor } from './kernel-locks.ts';
import { environment, hung, processesNaming } from './tracing.ts';

let folder: string;
let own: string;
let other: string;
let ends: (() => Promise<unknown>)[];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'babelhost-test-lend-'));
  own = path.join(folder, 'own');
  other = path.join(folder, 'other');
  ends = [];
});

afterEach(async () => {
  for (const end of ends) await end();
  expect(await processesNaming(folder)).toEqual([]);
  await rm(folder, { recursive: true });
});

/** `bootstrap lock` with these arguments; `said` gives its next line. Ends by itself where a test would wait for ever. */
function start(...args: string[]) {
  const child = spawn(bootstrapPath(), ['lock', ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: environment,
    ...hung,
  });
  child.stdin.on('error', () => undefined);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const complaint = text(child.stderr);
  const closed = once(child, 'close');
  const end = () => {
    child.stdin.end();
    return closed;
  };
  ends.push(end);
  return {
    child,
    closed,
    complaint,
    end,
    ask: (word: string) => child.stdin.write(word),
    said: async (): Promise<string | undefined> => {
      const next = await lines.next();
      return next.value;
    },
  };
}

/** A holder of its own lock. */
async function lender(synced = folder, lock = other) {
  const holder = start('--lend', synced, lock, own);
  expect(await holder.said()).toBe('locked');
  return holder;
}

async function isHeld(file: string): Promise<boolean> {
  const trying = start('--try', file);
  const answer = await trying.said();
  await trying.end();
  return answer === 'busy';
}

async function childOf(pid: number | undefined): Promise<number> {
  return Number((await readFile(`/proc/${pid}/task/${pid}/children`, 'latin1')).trim());
}

describe('bootstrap lock --lend', () => {
  it('takes the other lock and lets it go, again and again', async () => {
    const holder = await lender();
    for (let round = 0; round < 3; round += 1) {
      expect(await isHeld(other)).toBe(false);
      holder.ask('l');
      expect(await holder.said()).toBe('locked');
      expect([await isHeld(own), await isHeld(other)]).toEqual([true, true]);
      holder.ask('e');
      expect(await holder.said()).toBe('ended');
    }
    expect(await isHeld(own)).toBe(true);
    expect(await holder.end()).toEqual([0, null]);
    expect(await holder.complaint).toBe('');
    expect([await isHeld(own), await isHeld(other)]).toEqual([false, false]);
  });

  it('prepares it, syncs when told to go on, and locks only then', async () => {
    const holder = await lender();
    holder.ask('p');
    expect(await isHeld(other)).toBe(false);
    holder.ask('\n');
    expect([await holder.said(), await holder.said()]).toEqual(['synced', 'locked']);
    expect(await isHeld(other)).toBe(true);
    holder.ask('e');
    expect(await holder.said()).toBe('ended');
    holder.ask('p');
    holder.ask('e');
    expect(await holder.said()).toBe('ended');
  });

  it('waits for whoever has it, and can be told not to, at the cost of nothing', async () => {
    const stranger = start(other);
    expect(await stranger.said()).toBe('locked');
    const holder = await lender();
    holder.ask('l');
    await somebodyWaitsFor(other);
    holder.ask('e');
    expect(await holder.said()).toBe('ended');
    expect(await isHeld(own)).toBe(true);
    holder.ask('l');
    await somebodyWaitsFor(other);
    await stranger.end();
    expect(await holder.said()).toBe('locked');
  });

  it.each(['is told', 'is killed'])('lets both go when it %s while it waits', async (how) => {
    const stranger = start(other);
    expect(await stranger.said()).toBe('locked');
    const holder = await lender();
    holder.ask('l');
    await somebodyWaitsFor(other);
    if (how === 'is killed') holder.child.kill('SIGKILL');
    expect(await holder.end()).toEqual(how === 'is killed' ? [null, 'SIGKILL'] : [0, null]);
    expect(await isHeld(own)).toBe(false);
    await stranger.end();
    const next = start(other);
    expect(await next.said()).toBe('locked');
  });

  it('says that the other lock is gone when who had it was killed, and takes it anew', async () => {
    const holder = await lender();
    holder.ask('l');
    expect(await holder.said()).toBe('locked');
    process.kill(await childOf(holder.child.pid), 'SIGKILL');
    expect(await holder.said()).toBe('ended');
    expect([await isHeld(own), await isHeld(other)]).toEqual([true, false]);
    // What crosses with the end is about nobody.
    holder.ask('\ne');
    holder.ask('l');
    expect(await holder.said()).toBe('locked');
  });

  it('tells of what is wrong with the other lock, and keeps its own', async () => {
    const holder = await lender(path.join(folder, 'missing'), path.join(folder, 'missing', 'lock'));
    for (const word of ['p', 'l']) {
      holder.ask(word);
      expect(await holder.said()).toMatch(/^bootstrap: cannot open .*missing.* \(ENOENT\): No such file or directory$/);
      expect(await holder.said()).toBe('ended');
    }
    expect(await isHeld(own)).toBe(true);
    await holder.end();
    expect(await holder.complaint).toBe('');
  });

  it('lends one lock at a time, and takes no word that it does not know', async () => {
    for (const [asked, complaint] of [
      ['ll', 'bootstrap: a lock was asked for that is lent already\n'],
      ['x', "bootstrap: 'x' on stdin has no meaning\n"],
    ] as const) {
      const holder = await lender();
      holder.ask(asked);
      expect(await holder.closed).toEqual([1, null]);
      expect(await holder.complaint).toBe(complaint);
    }
  });
});
