// How long requests wait and are parsed: each has a limit of its own, however many there are at once.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { given } from '../../src/base/given.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { serveHost, type ServedHost } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

/** Takes a twentieth of a second for a source, and a second for one that says so. */
const script = `
while IFS= read -r line; do
  case $line in *long*) sleep 1;; *) sleep 0.05;; esac
  printf '{"status":"ok","errors":[],"ast":1}\\n'
done`;

let folder: string;
let host: ServedHost;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  const reference = await buildScriptDriver(folder, { language: 'slow', script });
  host = serveHost(`${folder}/root`, ['--max-instances', '1', '--queue-timeout', '60s', '--timeout', '800ms']);
  await host.client.request('driver/install', { reference });
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await removeFolder(folder);
});

interface Times {
  readonly timeoutMs?: number;
  readonly queueTimeoutMs?: number;
}

const parse = (content: string, times: Times = {}, signal?: AbortSignal) =>
  host.client.request('parse', { content, language: 'slow', ...times }, given({ signal }));

describe('requests that wait for one slow driver', () => {
  it('are all answered, though most wait for longer than they may be parsed', async () => {
    const startedAt = performance.now();
    const answers = await Promise.allSettled(Array.from({ length: 40 }, (_, index) => parse(`source ${index}`)));
    expect(answers.filter(({ status }) => status === 'rejected')).toEqual([]);
    expect(performance.now() - startedAt).toBeGreaterThan(1600);
  });

  it('wait no longer than they may, and say which limit that was', async () => {
    const long = parse('long', { timeoutMs: 5000 });
    const waiting = await Promise.allSettled([1, 2, 3].map((each) => parse(`source ${each}`, { queueTimeoutMs: 100 })));
    expect((await long).uast).toBe(1);
    for (const each of waiting) {
      expect(each).toMatchObject({
        status: 'rejected',
        reason: { kind: 'timeout', data: { limit: 'queueTimeoutMs', timeoutMs: 100 } },
      });
    }
    await expect(parse('long')).rejects.toMatchObject({
      kind: 'timeout',
      data: { limit: 'timeoutMs', timeoutMs: 800 },
    });
    const { limits } = await host.client.request('host/info', {});
    expect(limits).toMatchObject({ timeoutMs: 800, queueTimeoutMs: 60_000 });
  });

  it('are cancelled while they wait, and while they are parsed', async () => {
    const [parsed, waits] = [new AbortController(), new AbortController()];
    const both = Promise.allSettled([
      parse('long', { timeoutMs: 5000 }, parsed.signal),
      parse('source', {}, waits.signal),
    ]);
    await expect
      .poll(async () => (await host.client.request('host/status', {})).pools)
      .toMatchObject([{ busy: 1, waiting: 1 }]);
    const startedAt = performance.now();
    waits.abort();
    parsed.abort();
    expect(await both).toMatchObject([{ status: 'rejected' }, { status: 'rejected' }]);
    expect(performance.now() - startedAt).toBeLessThan(800);
    expect((await parse('another')).uast).toBe(1);
  });
});
