// The log of a program: to stderr, in JSON where that is no terminal, and passed on to who asks.
import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { collect } from '../support/program.ts';

/** Runs a module that has `createLogger`, `LogRelay` and `silentLogger`, and gives back what it wrote. */
const run = (text: string) => {
  const log = JSON.stringify(new URL('../../src/base/log.ts', import.meta.url).href);
  const module = `import { createLogger, LogRelay, silentLogger } from ${log};\n${text}`;
  return collect(
    spawn(process.execPath, ['--input-type=module', '--eval', module], { stdio: 'pipe', timeout: 30_000 }),
  );
};

const linesOf = (text: string) =>
  text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe('the log', () => {
  it('writes what its level lets through, with what its children are called, and passes that on', async () => {
    const { status, stdout, stderr } = await run(`
      const relay = new LogRelay();
      relay.subscribe(({ type, message }) => console.log(type, message));
      const logger = await createLogger('warn', relay);
      const child = logger.child({ instance: 'a' }).child({ client: 'c1' });
      logger.info('not this');
      child.debug({ x: 1 }, 'nor this');
      child.warn({ x: 1 }, 'this');
      logger.error({ err: new Error('broken') }, 'and that');
    `);
    expect({ status, stdout }).toEqual({ status: 0, stdout: '2 this\n1 and that\n' });
    expect(linesOf(stderr)).toEqual([
      { level: 40, time: expect.any(Number) as number, instance: 'a', client: 'c1', x: 1, msg: 'this' },
      expect.objectContaining({
        level: 50,
        err: expect.objectContaining({ message: 'broken' }) as object,
        msg: 'and that',
      }),
    ]);
  });

  it('has written a line before the process dies of something else', async () => {
    const { status, stderr } = await run(`
      const logger = await createLogger('info');
      logger.info('last words');
      process.kill(process.pid, 'SIGKILL');
    `);
    expect(status).toBe('SIGKILL');
    expect(linesOf(stderr)).toMatchObject([{ level: 30, msg: 'last words' }]);
  });

  it('writes nothing where it is silent, and keeps no process from ending', async () => {
    expect(
      await run(`
        (await createLogger('silent')).fatal('not this');
        silentLogger().child({ x: 1 }).fatal('nor this');
        await createLogger('trace');
      `),
    ).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it('moves no terminal with what it quotes', async () => {
    const quoted = 'a\u001b]0;t\u0007\u009b2J\u007f\u202eb';
    const log = JSON.stringify(new URL('../../src/base/log.ts', import.meta.url).href);
    const module = `import { createLogger } from ${log};
      const quoted = ${JSON.stringify(quoted)};
      (await createLogger('info')).info({ stderr: quoted, err: new Error(quoted) }, quoted);`;
    const words = [process.execPath, '--input-type=module', '--eval', module];
    const command = words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');
    const { status, stdout } = await collect(
      spawn('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
        stdio: ['ignore', 'pipe', 'pipe'],
      }),
    );
    expect({ status, stdout }).toEqual({ status: 0, stdout: expect.stringContaining('INFO') as string });
    for (const text of ['\u001b]0;', '\u0007', '\u009b', '\u007f', '\u202e']) expect(stdout).not.toContain(text);
  });
});
