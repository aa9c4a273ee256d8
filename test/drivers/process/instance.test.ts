import { describe, expect, it, onTestFinished } from 'vitest';
import { Instance, type InstanceOptions } from '../../../src/drivers/process/instance.ts';
import { CancelledError } from '../../../src/drivers/request.ts';
import { DisplacedError } from '../../../src/drivers/process/pipelining.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { driverProcess, echoProgram } from '../../support/driver-process.ts';

const limits = { responseBytes: 1 << 20, responseDepth: 1000 };

function instanceOf(program: string, options: Partial<InstanceOptions> = {}): Instance {
  const instance = new Instance(driverProcess(program), {
    language: 'test',
    digest: 'sha256:0',
    limits,
    graceMs: 1000,
    logger: silentLogger(),
    onFree: () => undefined,
    ...options,
  });
  onTestFinished(() => instance.end());
  return instance;
}

/** How long an instance may be at a request; it does not count how long that waited. */
const timing = (timeoutMs: number) => ({ timeoutMs, queueTimeoutMs: 1, queueDeadline: -Infinity });

const ask = async (instance: Instance, content: string, timeoutMs = 20_000, signal?: AbortSignal): Promise<unknown> => {
  const line = Buffer.from(`${JSON.stringify({ content, encoding: 'utf8' })}\n`);
  const answer = await instance.request({
    line,
    timing: timing(timeoutMs),
    signal,
  });
  return JSON.parse(Buffer.concat(answer.ast).toString());
};

describe('an instance', () => {
  it('answers one request after another', async () => {
    const instance = instanceOf(echoProgram);
    for (const content of ['a', 'é😀\n', 'x'.repeat(100_000)]) {
      expect(await ask(instance, content)).toEqual({ content });
    }
    expect(instance.state).toBe('idle');
    expect(instance.requests).toBe(3);
  });

  it('hands on status and errors, and understands them in any case', async () => {
    const instance = instanceOf(
      `eachLine(() => answer({ status: 'ErRoR', errors: ['old', { message: 'new', line: 3, column: 4 }], ast: null }));`,
    );
    const answer = await instance.request({
      line: Buffer.from('{}\n'),
      timing: timing(9000),
    });
    expect(answer.status).toBe('error');
    expect(answer.errors).toEqual([{ message: 'old' }, { message: 'new', line: 3, column: 4 }]);
  });

  it.each([
    ['garbage', `process.stdin.once('data', () => console.log('Traceback: oops'));`, 'driverProtocol'],
    [
      'an answer that closes the response around it',
      `process.stdin.once('data', () => console.log('{"status":"ok","ast":null}},"id":1'));`,
      'driverProtocol',
    ],
    [
      'bytes that are not UTF-8',
      `process.stdin.once('data', () => process.stdout.write(Buffer.from('7b2261223a22ff227d0a', 'hex')));`,
      'driverProtocol',
    ],
    ['a status that nobody knows', `eachLine(() => answer({ status: 'fine', ast: {} }));`, 'driverProtocol'],
    ['errors that are none', `eachLine(() => answer({ status: 'ok', errors: [3] }));`, 'driverProtocol'],
    [
      'two answers at once',
      `process.stdin.once('data', () => process.stdout.write('{"status":"ok"}\\n{"status":"ok"}\\n'));`,
      'driverProtocol',
    ],
    [
      'a line without end',
      `process.stdin.once('data', () => { const spam = () => { while (process.stdout.write('"'.padEnd(65536))); process.stdout.once('drain', spam); }; process.stdout.write('{"a":'); process.stdout.write('"'); const more = () => { while (process.stdout.write('x'.repeat(65536))); process.stdout.once('drain', more); }; more(); });`,
      'responseTooLarge',
    ],
    [
      'half a line, and its output closed',
      `process.stdin.once('data', () => { process.stdout.write('{"status":', () => require('fs').closeSync(1)); setInterval(() => 0, 1000); });`,
      'driverCrashed',
    ],
    [
      'half a line, and its end',
      `process.stdin.once('data', () => process.stdout.write('{"status":', () => process.exit(0)));`,
      'driverCrashed',
    ],
    ['nothing, and exits with 3 before it reads', `process.exit(3);`, 'driverCrashed'],
  ])('ends a driver that writes %s, and says so', async (_what, program, kind) => {
    const instance = instanceOf(program);
    await expect(ask(instance, 'x')).rejects.toMatchObject({ kind });
    await instance.ended;
    expect(instance.state).toBe('ended');
  });

  it('tells how a driver ended and its last words', async () => {
    const instance = instanceOf(`console.error('no such file: grammar.bin'); process.exit(3);`);
    await expect(ask(instance, 'x')).rejects.toMatchObject({
      message: 'The test driver ended before it answered: it exited with status 3.',
      data: { exit: { reason: 'exited', code: 3 }, stderr: 'no such file: grammar.bin\n' },
    });
  });

  it('is ended when it answers what nothing had asked', async () => {
    const instance = instanceOf(`answer({ status: 'ok', ast: 1 }); setInterval(() => 0, 1000);`);
    await expect(instance.ended).resolves.toMatchObject({ reason: 'signaled' });
  });

  it.each([
    // Each answer but the first is the one before it again, as after an answer that was written twice.
    ['another request’s', `const last = (value) => { const before = kept; kept = value; return before; }; let kept;`],
    ['no', `const last = ({ ast }) => ({ ast });`],
    ['an empty', `const last = ({ id, ast }) => ({ id: asked++ ? '' : id, ast }); let asked = 0;`],
  ])('is ended when its driver returns ids, and answers with %s id', async (what, program) => {
    const instance = instanceOf(
      `${program} eachLine(({ id, content }) => {
        const value = { id, ast: content };
        answer({ errors: [], status: 'ok', ...(last(value) ?? value) });
      });`,
      { requestIds: true },
    );
    if (what !== 'no') expect(await ask(instance, 'first')).toBe('first');
    await expect(ask(instance, 'second')).rejects.toMatchObject({
      kind: 'driverProtocol',
      data: { reason: 'its answer does not have the id of the request' },
    });
    await expect(instance.ended).resolves.toMatchObject({ reason: 'signaled' });
  });

  it('frees the client at its deadline, drops the late answer, and goes on', async () => {
    const instance = instanceOf(
      `eachLine(({ content }) => setTimeout(() => answer({ status: 'ok', ast: content }), content === 'slow' ? 300 : 0));`,
      { graceMs: 20_000 },
    );
    await ask(instance, 'warm');
    const startedAt = performance.now();
    await expect(ask(instance, 'slow', 50)).rejects.toMatchObject({
      kind: 'timeout',
      data: { limit: 'timeoutMs', timeoutMs: 50 },
    });
    expect(performance.now() - startedAt).toBeLessThan(250);
    expect(instance.state).toBe('draining');
    await expect.poll(() => instance.state).toBe('idle');
    expect(await ask(instance, 'next')).toBe('next');
  });

  it('frees the client when it cancels, and ends a driver that does not come back', async () => {
    const instance = instanceOf(`eachLine(() => { for (;;); });`, { graceMs: 100 });
    const controller = new AbortController();
    const request = ask(instance, 'x', 20_000, controller.signal);
    controller.abort();
    await expect(request).rejects.toBeInstanceOf(CancelledError);
    await expect(instance.ended).resolves.toMatchObject({ reason: 'signaled' });
  });

  it('survives a million lines on stderr and keeps the last ones', async () => {
    const instance = instanceOf(
      `eachLine(() => { let n = 0; const more = () => { while (n < 1e6) { n += 1; if (!process.stderr.write('line ' + n + '\\n')) return process.stderr.once('drain', more); } answer({ status: 'ok', ast: n }); }; more(); });`,
    );
    expect(await ask(instance, 'x')).toBe(1_000_000);
    expect(instance.stderrTail.length).toBeLessThanOrEqual(4096);
    await expect.poll(() => instance.stderrTail).toContain('line 1000000\n');
  });
});

const pipelined = { requestIds: true, pipelining: true } satisfies Partial<InstanceOptions>;
/** An instance that has answered once. */
async function warmInstanceOf(program: string, options: Partial<InstanceOptions> = {}): Promise<Instance> {
  const instance = instanceOf(program, options);
  await ask(instance, 'warm');
  return instance;
}

/** Asks all at once, and again where the machine was so busy that one was displaced. */
async function askTogether(instance: Instance, contents: readonly string[]): Promise<unknown[]> {
  for (;;) {
    const answers = await Promise.allSettled(contents.map((content) => ask(instance, content)));
    const failures = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []));
    if (failures.some((failure) => failure instanceof DisplacedError)) continue;
    return answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : (answer.reason as unknown)));
  }
}

/** A driver that comes to a request when it has answered the one before; `what` it does with each. */
const inTurn = (what: string): string => `
  const lines = []; let busy = false;
  const next = () => { const line = lines.shift(); busy = line !== undefined; if (busy) at(line); };
  const reply = ({ id, content }) => { answer({ id, status: 'ok', errors: [], ast: content }); next(); };
  const at = (request) => { const { content } = request; if (content === 'warm') reply(request); else { ${what} } };
  eachLine((request) => { lines.push(request); if (!busy) next(); });`;

describe('an instance whose driver takes a request before it has answered the last', () => {
  it('has room for one behind another, of the two that it is written', async () => {
    const instance = instanceOf(inTurn(`setTimeout(() => reply(request), 50);`), pipelined);
    expect(instance.hasRoomBehind).toBe(false);
    const starting = ask(instance, 'warm');
    // How long a driver takes to start, nobody should have to find out behind another.
    expect(instance.hasRoomBehind).toBe(false);
    await starting;
    expect(instance.hasRoomBehind).toBe(false);
    const first = ask(instance, 'first');
    expect(instance.hasRoomBehind).toBe(true);
    const second = ask(instance, 'second');
    expect(instance.hasRoomBehind).toBe(false);
    await expect(ask(instance, 'third')).rejects.toThrow('takes no request');
    expect(await Promise.all([first, second])).toEqual(['first', 'second']);
    expect(instance.state).toBe('idle');
    expect(instance.answered).toBe(3);
  });

  it.each([
    ['returns no ids', { pipelining: true }],
    ['does not say so', { requestIds: true }],
  ])('has none where the driver %s', async (_what, options) => {
    const instance = await warmInstanceOf(inTurn(`setTimeout(() => reply(request), 50);`), options);
    void ask(instance, 'first').catch(() => undefined);
    expect(instance.hasRoomBehind).toBe(false);
    await expect(ask(instance, 'second')).rejects.toThrow('takes no request');
  });

  it.each([0, 1, 100, 65_400, 65_536, 200_000])(
    'takes two answers apart that come in the same pieces, the first with %i characters',
    async (length) => {
      // Both are written at once, when both requests have come.
      const program = `let text = ''; const contents = [];
        eachLine(({ id, content }) => {
          text += JSON.stringify({ id, status: 'ok', ast: content }) + '\\n';
          if (content === 'warm' || contents.push(content) === 2) { process.stdout.write(text); text = ''; contents.length = 0; }
        });`;
      const instance = await warmInstanceOf(program, { ...pipelined, limits: { ...limits, responseBytes: 1 << 22 } });
      for (let round = 0; round < 3; round += 1) {
        const contents = [`${round}é${'x'.repeat(length)}`, `${round}${'é'.repeat(length)}`];
        expect(await askTogether(instance, contents)).toEqual(contents);
      }
    },
  );

  it('counts the time of the second from when the driver comes to it', async () => {
    const instance = await warmInstanceOf(inTurn(`if (content === 'first') setTimeout(() => reply(request), 50);`), {
      ...pipelined,
      graceMs: 100,
    });
    const first = ask(instance, 'first');
    let begun = false;
    const second = instance.request({
      line: Buffer.from('{"content":"second"}\n'),
      timing: timing(400),
      onBegun: () => {
        begun = true;
      },
    });
    const outcome = expect(second).rejects.toMatchObject({ kind: 'timeout', data: { phase: 'being parsed' } });
    expect(begun).toBe(false);
    expect(await first).toBe('first');
    expect(begun).toBe(true);
    await outcome;
    await expect(instance.ended).resolves.toMatchObject({ reason: 'signaled' });
  });

  it('lets the second go where the driver takes long over the first, and drops its answer', async () => {
    const instance = await warmInstanceOf(
      inTurn(`setTimeout(() => reply(request), content === 'first' ? 400 : 0);`),
      pipelined,
    );
    const first = ask(instance, 'first');
    await expect(ask(instance, 'second')).rejects.toBeInstanceOf(DisplacedError);
    expect(await first).toBe('first');
    await expect.poll(() => instance.state).toBe('idle');
    expect(await ask(instance, 'third')).toBe('third');
    expect(instance.answered).toBe(4);
  });

  it.each([
    ['dies', `process.exit(3);`, 'driverCrashed'],
    ['writes garbage', `console.log('garbage');`, 'driverProtocol'],
    ['answers with another id', `reply({ ...request, id: '7' });`, 'driverProtocol'],
    ['closes its output', `require('fs').closeSync(1); setInterval(() => 0, 1000);`, 'driverCrashed'],
  ])('lets the second go where the driver %s over the first', async (_what, does, kind) => {
    const instance = await warmInstanceOf(inTurn(does), { ...pipelined, graceMs: 100 });
    const first = expect(ask(instance, 'first')).rejects.toMatchObject({ kind });
    const second = expect(ask(instance, 'second')).rejects.toBeInstanceOf(DisplacedError);
    await Promise.all([first, second]);
    await instance.ended;
  });

  it('lets the second go where the first is taken back or late, and comes back with neither answer', async () => {
    const instance = await warmInstanceOf(inTurn(`setTimeout(() => reply(request), 200);`), {
      ...pipelined,
      graceMs: 20_000,
    });
    const controller = new AbortController();
    const taken = expect(ask(instance, 'first', 20_000, controller.signal)).rejects.toBeInstanceOf(CancelledError);
    const behind = expect(ask(instance, 'second')).rejects.toBeInstanceOf(DisplacedError);
    controller.abort();
    await Promise.all([taken, behind]);
    expect(instance.state).toBe('draining');
    expect(instance.hasRoomBehind).toBe(false);
    await expect.poll(() => instance.answered).toBe(3);
    const late = expect(ask(instance, 'third', 50)).rejects.toMatchObject({ kind: 'timeout' });
    await Promise.all([late, expect(ask(instance, 'fourth')).rejects.toBeInstanceOf(DisplacedError)]);
    await expect.poll(() => instance.state).toBe('idle');
    expect(await ask(instance, 'fifth')).toBe('fifth');
  });

  it('answers the first where the second is taken back, and ends a driver that does not come back from that', async () => {
    const instance = await warmInstanceOf(
      inTurn(`if (content === 'first') setTimeout(() => reply(request), 50); else for (;;);`),
      {
        ...pipelined,
        graceMs: 100,
      },
    );
    const controller = new AbortController();
    const first = ask(instance, 'first');
    const second = expect(ask(instance, 'second', 20_000, controller.signal)).rejects.toBeInstanceOf(CancelledError);
    controller.abort();
    await second;
    expect(instance.state).toBe('busy');
    expect(await first).toBe('first');
    expect(instance.state).toBe('draining');
    await expect(instance.ended).resolves.toMatchObject({ reason: 'signaled' });
  });

  it('gives the second no answer that the driver wrote for the first', async () => {
    const instance = await warmInstanceOf(
      inTurn(`reply(request); answer({ id: request.id, status: 'ok', ast: 'again' });`),
      pipelined,
    );
    const first = ask(instance, 'first');
    const second = ask(instance, 'second');
    expect(await first).toBe('first');
    await expect(second).rejects.toMatchObject({ kind: 'driverProtocol' });
  });

  it('ends when it is retired and has answered both', async () => {
    const instance = await warmInstanceOf(inTurn(`setTimeout(() => reply(request), 50);`), pipelined);
    const answers = [ask(instance, 'first'), ask(instance, 'second')];
    instance.retire();
    expect(await Promise.all(answers)).toEqual(['first', 'second']);
    await expect(instance.ended).resolves.toMatchObject({ reason: 'signaled' });
  });
});
