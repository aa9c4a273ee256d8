// Opening a store beside living processes must not try their locks, each of which takes a process of its own, and must
// never take a lock for held that is not.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseLocks, probeLock } from '../../src/images/store/lock-probe.ts';
import { acquireLock } from '../../src/images/store/lock.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

describe('locks that are held', () => {
  it('are those of flock(2), not those of other kinds', () => {
    const text = [
      'pos:\t0',
      'lock:\t1: OFDLCK ADVISORY  READ -1 fe:00:11 201 201',
      'lock:\t2: POSIX  ADVISORY  WRITE 9690 fe:00:12 0 EOF',
      'lock:\t3: FLOCK  ADVISORY  WRITE 21525 fe:00:13 0 EOF',
      'lock:\t4: FLOCK  ADVISORY  READ 9641 fe:00:15 0 EOF',
      'lock:\t5: FLOCK  ADVISORY  WRITE 9641 103:10:16 0 EOF',
      '',
    ].join('\n');
    expect([...parseLocks(text)]).toEqual(['254:0:13', '259:16:16']);
  });

  it('are found by their files while they are held, and not afterwards', async () => {
    const folder = await temporaryFolder();
    const file = path.join(folder, 'lock');
    await writeFile(file, '');
    expect(await probeLock(process.pid, file)).toBe(false);
    const lock = await acquireLock(file, { timeoutMs: 10_000 });
    expect(await probeLock(process.pid, file)).toBe(true);
    expect(await probeLock(process.ppid, file)).toBe(false);
    await lock.release();
    expect(await probeLock(process.pid, file)).toBe(false);
  });
});
