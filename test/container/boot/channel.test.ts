// The reports on a container's channel and of the guard, and how a container ended according to both.
import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContainerChannel, ReportParser, type ContainerReport } from '../../../src/container/boot/channel.ts';
import { confirmedEnd, endOf, exitOf } from '../../../src/container/boot/exit.ts';
import { parseGuardLine, parseStarterLine } from '../../../src/container/guard/reports.ts';
import { LineSplitter } from '../../../src/container/guard/lines.ts';

const parse = (...parts: string[]): ContainerReport[] => {
  const parser = new ReportParser();
  return parts.flatMap((part) => parser.parse(Buffer.from(part)));
};

describe('a container’s channel', () => {
  it('takes lines apart, however they arrive', async () => {
    const stream = new PassThrough();
    const channel = new ContainerChannel(stream);
    for (const part of ['star', 'ted\nexi', 'ted 7', '\n']) stream.write(part);
    stream.end();
    await channel.ended;
    expect(await channel.first).toEqual({ kind: 'started' });
    expect(channel.last).toEqual({ kind: 'exited', code: 7 });
    expect(parse('started\nsignaled 9\n')).toEqual([{ kind: 'started' }, { kind: 'signaled', signal: 9 }]);
    expect(parse('failed ENOTRECOVERABLE\n')).toEqual([{ kind: 'failed', error: 'ENOTRECOVERABLE' }]);
  });

  it.each([
    ['a word that it does not know', 'process 1 999999 1\n', 'process 1 999999 1'],
    ['a line that is nearly right', 'Started\n', 'Started'],
    ['more than a word', 'started \n', 'started '],
    ['an empty line', '\n', ''],
    ['an end before the start', 'exited 0\n', 'exited 0'],
    ['a second start', 'started\nstarted\n', 'started'],
    ['a start after a failure', 'failed ENOENT\nstarted\n', 'started'],
    ['a second end', 'started\nexited 0\nsignaled 9\n', 'signaled 9'],
    ['a status that none is', 'started\nexited 256\n', 'exited 256'],
    ['a negative status', 'started\nexited -1\n', 'exited -1'],
    ['a status in another form', 'started\nexited 007\n', 'exited 007'],
    ['no signal', 'started\nsignaled 0\n', 'signaled 0'],
    ['a signal that none is', 'started\nsignaled 65\n', 'signaled 65'],
    ['no errno', 'failed enoent\n', 'failed enoent'],
    ['what cannot be printed', 'started\n\u{1b}[2Jü\0\n', '?[2J??'],
    ['a long line', `started\n${'x'.repeat(41)}\n`, 'more than 40 bytes in a line'],
    ['a line without end', `started\n${'x'.repeat(41)}`, 'more than 40 bytes in a line'],
  ])('refuses %s, and takes nothing after it', (_what, said, line) => {
    const reports = parse(said, 'started\nexited 0\n', 'x'.repeat(100_000));
    expect(reports.filter(({ kind }) => kind === 'fault')).toEqual([{ kind: 'fault', line }]);
    expect(reports.at(-1)?.kind).toBe('fault');
  });

  it('refuses anything from a process that has nothing to say', () => {
    const parser = new ReportParser(true);
    expect(parser.parse(Buffer.from('started\n'))).toEqual([{ kind: 'fault', line: 'started' }]);
  });

  it('is let go of in a moment where the process has gone and somebody else has its other end', async () => {
    const stream = new PassThrough();
    const channel = new ContainerChannel(stream);
    await channel.finish();
    expect(stream.destroyed).toBe(true);
  });
});

/** Bytes as somebody who writes in the place of process 1 might choose them, in any pieces. */
const lines = fc.oneof(
  fc.constantFrom(
    'started\n',
    'exited 0\n',
    'exited 255\n',
    'signaled 64\n',
    'failed ENOENT\n',
    'process 1 999999 1\n',
  ),
  fc.tuple(fc.constantFrom('exited', 'signaled', 'failed'), fc.string()).map(([word, rest]) => `${word} ${rest}\n`),
  fc.string({ maxLength: 60 }),
);
const said = fc
  .tuple(
    fc.array(
      fc.oneof(
        lines.map((line) => Buffer.from(line)),
        fc.uint8Array({ maxLength: 50 }),
      ),
    ),
    fc.array(fc.nat(200)),
  )
  .map(([parts, cuts]) => {
    const bytes = Buffer.concat(parts);
    const sorted = cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b);
    return [0, ...sorted].map((from, index) => bytes.subarray(from, sorted[index]));
  });

/** Whether it is something that process 1 can say. */
function isReport(report: ContainerReport): boolean {
  switch (report.kind) {
    case 'started':
      return true;
    case 'failed':
      return /^[A-Z0-9]{1,32}$/.test(report.error);
    case 'exited':
      return Number.isInteger(report.code) && report.code >= 0 && report.code <= 255;
    case 'signaled':
      return Number.isInteger(report.signal) && report.signal >= 1 && report.signal <= 64;
    case 'fault':
      return /^[ -~]{0,40}$/.test(report.line);
  }
}

describe('whatever bytes come on a container’s channel', () => {
  it('make reports that can be, in an order that can be, or a fault; never anything else', () => {
    fc.assert(
      fc.property(said, fc.boolean(), (parts, silent) => {
        const parser = new ReportParser(silent);
        const reports = parts.flatMap((part) => parser.parse(part));
        expect(reports.filter((report) => !isReport(report))).toEqual([]);
        const order = reports.map(({ kind }) => kind).join(' ');
        const whole = /^(started( (exited|signaled))?|failed)?( ?fault)?$/;
        expect(order).toMatch(silent ? /^(fault)?$/ : whole);
      }),
    );
  });

  it('make the same reports in whatever pieces they come', () => {
    fc.assert(
      fc.property(said, (parts) => {
        const [inParts, atOnce] = [new ReportParser(), new ReportParser()];
        expect(parts.flatMap((part) => inParts.parse(part))).toEqual(atOnce.parse(Buffer.concat(parts)));
      }),
    );
  });

  it('are kept no longer than a line may be', () => {
    fc.assert(
      fc.property(said, fc.nat(100), (parts, longest) => {
        const splitter = new LineSplitter(longest);
        const found = parts.flatMap((part) => splitter.split(part));
        for (const line of found) expect(Buffer.byteLength(line ?? '')).toBeLessThanOrEqual(3 * longest);
        // Nothing comes after a line that was too long.
        expect(found.slice(0, -1)).not.toContain(undefined);
      }),
    );
  });
});

describe('what the guard says', () => {
  it('is taken by the word', () => {
    expect(parseGuardLine('guard 12')).toEqual({ kind: 'guard', pid: 12 });
    expect(parseGuardLine('ready')).toEqual({ kind: 'ready' });
    expect(parseGuardLine('exited 5 256')).toEqual({ kind: 'exited', guardPid: 5, status: 256 });
    for (const line of [
      '',
      'guard',
      'guard 0',
      'guard 1 2',
      'ready ',
      'exited 5',
      'exited -5 0',
      'exited 5 0x1',
      'x',
    ]) {
      expect(parseGuardLine(line), line).toBeUndefined();
    }
    const process = { pid: 12, guardPid: 3, startedAt: '456' };
    expect(parseStarterLine('process 12 3 456')).toEqual({ kind: 'process', process });
    expect(parseStarterLine('ended 1')).toEqual({ kind: 'ended', status: 1 });
    expect(parseStarterLine('bootstrap: cannot (EPERM)')).toEqual({ kind: 'complaint', text: 'cannot (EPERM)' });
    for (const line of ['', 'started', 'process 1 2', 'process 1 0 3', 'process -1 2 3', 'ended x', 'bootstrap:']) {
      expect(parseStarterLine(line), line).toBeUndefined();
    }
  });
});

describe('the end of a container', () => {
  const exited = { kind: 'exited', code: 3 } as const;
  const killed9 = { kind: 'signaled', signal: 9 } as const;

  it('is its own, the kernel’s or the host’s', () => {
    expect(exitOf({ report: exited, killed: false })).toEqual({ reason: 'exited', code: 3 });
    expect(exitOf({ report: killed9, killed: false })).toEqual({ reason: 'signaled', signal: 9 });
    expect(exitOf({ report: killed9, killed: false, outOfMemory: 100 })).toEqual({
      reason: 'outOfMemory',
      limitBytes: 100,
    });
    // Process 1 itself was the one that the kernel chose.
    expect(exitOf({ report: undefined, killed: false, outOfMemory: 100 })).toEqual({
      reason: 'outOfMemory',
      limitBytes: 100,
    });
    expect(exitOf({ report: undefined, killed: true })).toEqual({ reason: 'killed' });
    expect(exitOf({ report: killed9, killed: true })).toEqual({ reason: 'killed' });
    expect(exitOf({ report: exited, killed: true, fault: 'x' })).toEqual({ reason: 'protocolFault', line: 'x' });
  });

  it('is its own where it survived a child’s, which is told too, and the kernel’s where a shell only passes that on', () => {
    expect(exitOf({ report: exited, killed: false, outOfMemory: 100 })).toEqual({
      reason: 'exited',
      code: 3,
      outOfMemoryBytes: 100,
    });
    const passedOn = { kind: 'exited', code: 137 } as const;
    expect(exitOf({ report: passedOn, killed: false, outOfMemory: 100 })).toEqual({
      reason: 'outOfMemory',
      limitBytes: 100,
    });
  });

  it('is as process 1 said where the guard saw it exit so, and as the guard saw it where not', () => {
    const status = (code: number) => code << 8;
    expect(confirmedEnd(exited, status(3))).toBe(exited);
    expect(confirmedEnd(killed9, status(137))).toBe(killed9);
    expect(confirmedEnd({ kind: 'exited', code: 0 }, status(3))).toEqual(exited);
    expect(confirmedEnd(killed9, status(3))).toEqual(exited);
    expect(confirmedEnd(undefined, status(3))).toEqual(exited);
    // Its channel was closed, or it was killed: of its command nothing is known then, whatever was said.
    expect(confirmedEnd(undefined, status(137))).toBeUndefined();
    expect(confirmedEnd(exited, 9)).toBeUndefined();
    // The guard is gone.
    expect(confirmedEnd(exited, undefined)).toBe(exited);
    expect(endOf(9)).toEqual(killed9);
    expect(endOf(9 | 0x80)).toEqual(killed9);
  });
});
