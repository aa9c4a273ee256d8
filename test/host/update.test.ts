// Updating a driver while it works, with real containers and under load: nothing fails, what is in flight finishes on the
// old image, what comes after goes to the new one, and the old one goes with its last instance. The host that parses
// and the process that updates are the same, or two.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Client } from '../../src/protocol/client.ts';
import { buildScriptDriver } from '../support/driver-images.ts';
import { runProgram } from '../support/program.ts';
import { serveHost } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder, temporaryFolder } from '../support/temporary-folder.ts';

/** Answers with the version that its image was built with, after a moment where the content says so; the first gets stuck. */
const versioned = (version: string): string => `
while IFS= read -r line; do
  case "$line" in *slow*) busybox sleep 1 ;; *short*) busybox sleep 0.02 ;; *stuck*) [ ${version} -gt 1 ] || busybox sleep 1000 ;; esac
  printf '{"status":"ok","errors":[],"ast":"${version}"}\\n'
done`;

const versions = ['1', '2', '3'] as const;
let images: string;
const references = new Map<string, string>();

beforeAll(async () => {
  images = await makeTemporaryFolder();
  for (const version of versions) {
    references.set(
      version,
      await buildScriptDriver(images, { language: 'tongue', version, script: versioned(version) }),
    );
  }
});
afterAll(() => removeFolder(images));

const reference = (version: string): string => references.get(version) ?? '';

let asked = 0;
/** Parses a source that is no other's, so that no two requests share an answer. */
async function parse(client: Client, content: string): Promise<unknown> {
  asked += 1;
  return (await client.request('parse', { content: `${content} ${asked}`, language: 'tongue' })).uast;
}

interface Answered {
  readonly sentAt: number;
  readonly version: unknown;
}

/** Keeps `width` requests in flight until stopped, and tells what each was answered with. A failure is thrown by `stop`. */
function startLoad(client: Client, width: number): { readonly stop: () => Promise<Answered[]> } {
  const stopping = new AbortController();
  const answers: Answered[] = [];
  const loops = Array.from({ length: width }, async (_, index) => {
    while (!stopping.signal.aborted) {
      const sentAt = performance.now();
      // Some are slow: an update then always finds several in flight.
      const version = await parse(client, index === 0 ? 'slow' : 'short');
      answers.push({ sentAt, version });
    }
  });
  return {
    stop: async () => {
      stopping.abort();
      await Promise.all(loops);
      return answers;
    },
  };
}

/** Resolves when nothing of the images that were replaced is left: one image, one unpacked root, and their instances. */
async function onlyNewestIsLeft(client: Client, root: string, digest: string): Promise<void> {
  await expect
    .poll(async () => {
      const { instances } = await client.request('host/instances', {});
      return instances.filter(({ image }) => image !== digest);
    })
    .toEqual([]);
  await expect.poll(() => readdir(path.join(root, 'rootfs'))).toEqual([digest.replace('sha256:', '')]);
  expect((await client.request('image/list', {})).images.map((image) => image.digest)).toEqual([digest]);
}

describe('a driver that is updated under load', () => {
  it.each([
    ['by the host itself', false],
    ['by another process', true],
  ])('%s answers every request, with the new image from then on', async (_how, byAnother) => {
    const root = await temporaryFolder();
    await using host = serveHost(root, ['--max-instances', '3']);
    const { client } = host;
    await client.request('driver/install', { reference: reference('1') });
    const load = startLoad(client, 6);
    expect(await parse(client, 'short')).toBe('1');
    let digest = '';
    const updates: { readonly version: string; readonly doneAt: number }[] = [];
    for (const version of ['2', '3', '1', '2']) {
      if (byAnother) {
        const args = ['driver', 'install', '--update', reference(version), '--root', root, '--json'];
        const { status, stdout, stderr } = await runProgram(args);
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
        const { installed } = JSON.parse(stdout) as { installed: { driver: { digest: string } }[] };
        digest = installed[0]?.driver.digest ?? '';
      } else {
        const update = await client.request('driver/install', { reference: reference(version), update: true });
        expect(update.replaced).toBeDefined();
        digest = update.driver.digest;
      }
      updates.push({ version, doneAt: performance.now() });
      await expect.poll(() => parse(client, 'short')).toBe(version);
    }
    const answers = await load.stop();
    await onlyNewestIsLeft(client, root, digest);
    // What another process did shows within a quarter of a second; a request that came before may finish on the old one.
    const seenAfterMs = byAnother ? 300 : 0;
    for (const { sentAt, version } of answers) {
      const before = updates.findLast(({ doneAt }) => doneAt + seenAfterMs <= sentAt);
      const next = updates[updates.findIndex((update) => update === before) + 1];
      const allowed = [before?.version ?? '1'];
      // From an update's beginning on it may be the next one already; a loaded machine says so late.
      if (next !== undefined) allowed.push(next.version);
      expect(allowed).toContain(version);
    }
    expect(new Set(answers.map(({ version }) => version))).toEqual(new Set(versions));
  });

  it('by another process, before its first instance was started, starts the new image', async () => {
    const root = await temporaryFolder();
    await using other = serveHost(root);
    await other.client.request('driver/install', { reference: reference('1') });
    for (const version of ['2', '3', '2']) {
      await using host = serveHost(root);
      const progress = { updated: false };
      const update = other.client
        .request('driver/install', { reference: reference(version), update: true })
        .finally(() => (progress.updated = true));
      // What the host knows of the store is then as fresh as it can be while being old.
      while (!progress.updated) await host.client.request('driver/list', {});
      const [answer] = await Promise.all([parse(host.client, 'short'), update]);
      expect(answer).toBe(version);
    }
  });

  it('lets what is in flight finish, and what waits in the queue', async () => {
    const root = await temporaryFolder();
    await using host = serveHost(root, ['--max-instances', '1']);
    const { client } = host;
    await client.request('driver/install', { reference: reference('1') });
    expect(await parse(client, 'short')).toBe('1');
    const before = Array.from({ length: 3 }, () => parse(client, 'slow'));
    const { driver } = await client.request('driver/install', { reference: reference('2'), update: true });
    expect(await parse(client, 'short')).toBe('2');
    expect(await Promise.all(before)).toEqual(['1', '1', '1']);
    await onlyNewestIsLeft(client, root, driver.digest);
  });

  it('parses on the new image for who shared a parse that ran out of its time on the old one', async () => {
    const root = await temporaryFolder();
    await using host = serveHost(root, ['--grace', '100ms']);
    const { client } = host;
    await client.request('driver/install', { reference: reference('1') });
    const same = { content: 'stuck', language: 'tongue' };
    const hasty = expect(client.request('parse', { ...same, timeoutMs: 3000 })).rejects.toMatchObject({
      kind: 'timeout',
    });
    const patient = client.request('parse', { ...same, timeoutMs: 60_000 });
    await client.request('driver/install', { reference: reference('2'), update: true });
    await hasty;
    expect((await patient).uast).toBe('2');
  });

  it('lets what is in flight on the old image have the time that it asked for', async () => {
    const root = await temporaryFolder();
    await using host = serveHost(root, ['--timeout', '300ms']);
    const { client } = host;
    await client.request('driver/install', { reference: reference('1') });
    const patient = client.request('parse', { content: 'slow', language: 'tongue', timeoutMs: 60_000 });
    await client.request('driver/install', { reference: reference('2'), update: true });
    expect((await patient).uast).toBe('1');
  });
});
