// The log of a process's output: its end, within its limit, for any pattern of writes.
import { PassThrough } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { OutputLog } from '../../../src/container/lifecycle/output-log.ts';

describe('a log of output', () => {
  const follow = (limitBytes: number) => {
    const [stdout, stderr] = [new PassThrough(), new PassThrough()];
    return { log: new OutputLog(limitBytes, stdout, stderr), stdout, stderr };
  };

  it('keeps the last bytes, and counts those that it loses', async () => {
    const { log, stdout } = follow(1000);
    stdout.end(Buffer.from(`${'x'.repeat(5000)}end`));
    await setImmediate();
    expect(log.textOf('stdout')).toBe(`${'x'.repeat(997)}end`);
    expect(log.droppedBytes).toBe(4003);
  });

  it('keeps few of a process that writes single bytes to both of its streams, and no more memory for them', async () => {
    const { log, stdout, stderr } = follow(64_000);
    for (let times = 0; times < 50_000; times += 1) {
      stdout.write('o');
      stderr.write('e');
      await setImmediate();
    }
    const kept = log.textOf('stdout').length + log.textOf('stderr').length;
    expect(kept).toBe(1000);
    expect(log.droppedBytes).toBe(100_000 - kept);
    expect(log.read().at(-1)).toEqual({ stream: 'stderr', text: 'e' });
  });
});
