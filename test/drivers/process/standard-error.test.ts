import { PassThrough } from 'node:stream';
import { once } from 'node:events';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { StandardErrorLog } from '../../../src/drivers/process/standard-error.ts';

interface Line {
  readonly level: number;
  readonly msg: string;
  readonly stderr?: string;
  readonly lines?: number;
  readonly characters?: number;
}

/** What is logged of a driver that writes these one after the other, at the times in milliseconds. */
async function logged(logLines: boolean, writes: readonly (readonly [number, string])[]) {
  const log: Line[] = [];
  const logger = pino({ level: 'trace' }, { write: (text: string) => log.push(JSON.parse(text) as Line) });
  const stream = new PassThrough();
  const stderr = new StandardErrorLog(stream, logger, logLines);
  for (const [at, text] of writes) {
    await vi.advanceTimersByTimeAsync(at - performance.now());
    stream.write(text);
    await vi.advanceTimersByTimeAsync(0);
  }
  stream.end();
  await once(stream, 'end');
  return { log, tail: stderr.tail };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const many = 'x = secret\n'.repeat(50);

describe('what a driver writes to its stderr', () => {
  it('is counted, and not quoted, where nobody asked for it', async () => {
    const { log, tail } = await logged(false, [
      [5000, many],
      [5500, 'half '],
      [9000, 'a line\nthe last, without an end'],
    ]);
    expect(JSON.stringify(log)).not.toContain('secret');
    expect(log.map(({ level, lines }) => ({ level, lines }))).toEqual([
      { level: 20, lines: 50 },
      { level: 20, lines: 2 },
    ]);
    expect(log[0]?.characters).toBe(many.length - 50 + 'half '.length + 'a line'.length);
    expect(tail).toContain('secret');
  });

  it('is logged where somebody did: up to 20 lines a second of up to 1,024 characters, and the number of others', async () => {
    const { log } = await logged(true, [
      [5000, many],
      [7000, `${'y'.repeat(5000)}\n`],
      [7100, 'z'.repeat(300)],
      [7200, `${'z'.repeat(900)}\n`],
    ]);
    expect(log.slice(0, 20).every(({ level, stderr }) => level === 30 && stderr === 'x = secret')).toBe(true);
    expect(log.slice(20).map(({ level, stderr, lines }) => ({ level, stderr, lines }))).toEqual([
      { level: 40, lines: 30 },
      { level: 30, stderr: 'y'.repeat(1024) },
      { level: 30, stderr: 'z'.repeat(1024) },
    ]);
  });

  it('is kept to its last 4,096 characters', async () => {
    const { tail } = await logged(false, [[5000, `${'a'.repeat(10_000)}end`]]);
    expect(tail).toBe(`${'a'.repeat(4093)}end`);
  });
});
