// The control channel's lines, and what they tell of a container's end.
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ControlChannel, parseReport, type ContainerReport } from '../../src/container/control.ts';
import { exitOf } from '../../src/container/exit.ts';

describe('the control channel', () => {
  it('takes lines apart, however they arrive', async () => {
    const stream = new PassThrough();
    const reports: ContainerReport[] = [];
    const channel = new ControlChannel(stream, (report) => reports.push(report));
    for (const part of [
      'pro',
      'cess 12 3 456\nstarted\nexi',
      'ted 7',
      '\n',
      'nonsense\nfailed ENOENT /bin/a b\n',
      'signaled',
    ]) {
      stream.write(part);
    }
    stream.end();
    await channel.ended;
    expect(reports).toEqual([
      { kind: 'process', pid: 12, guardPid: 3, startedAt: '456' },
      { kind: 'started' },
      { kind: 'exited', code: 7 },
      { kind: 'failed', error: 'ENOENT', command: '/bin/a b' },
    ]);
  });

  it('knows its words only', () => {
    expect(parseReport('signaled 9')).toEqual({ kind: 'signaled', signal: 9 });
    expect(parseReport('')).toBeUndefined();
    expect(parseReport('Started')).toBeUndefined();
  });
});

describe('the end of a container', () => {
  const exited = { kind: 'exited', code: 3 } as const;
  const killed9 = { kind: 'signaled', signal: 9 } as const;

  it('is its own, the kernel’s or the host’s', () => {
    expect(exitOf(exited, false, undefined)).toEqual({ reason: 'exited', code: 3 });
    expect(exitOf(killed9, false, undefined)).toEqual({ reason: 'signaled', signal: 9 });
    expect(exitOf(killed9, false, 100)).toEqual({ reason: 'outOfMemory', limitBytes: 100 });
    // Process 1 itself was the one that the kernel chose.
    expect(exitOf(undefined, false, 100)).toEqual({ reason: 'outOfMemory', limitBytes: 100 });
    expect(exitOf(undefined, true, undefined)).toEqual({ reason: 'killed' });
    expect(exitOf(killed9, true, undefined)).toEqual({ reason: 'killed' });
  });

  it('is its own where it survived a child’s, which is told too, and the kernel’s where a shell only passes that on', () => {
    expect(exitOf(exited, false, 100)).toEqual({ reason: 'exited', code: 3, outOfMemoryBytes: 100 });
    expect(exitOf({ kind: 'exited', code: 137 }, false, 100)).toEqual({ reason: 'outOfMemory', limitBytes: 100 });
  });
});
