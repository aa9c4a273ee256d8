// All attacks at once, beside honest drivers of the same host.
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { buildAttackImage, endAttacks, startAttacks } from '../support/attacks.ts';
import { cataloguedImage } from '../support/driver-images.ts';
import { serveHost, type ServedHost } from '../support/served-host.ts';
import { makeTemporaryFolder, removeFolder } from '../support/temporary-folder.ts';

const requests = 1000;

let folder: string;
let host: ServedHost;

beforeAll(async () => {
  folder = await makeTemporaryFolder();
  host = serveHost(path.join(folder, 'root'), ['--warm', 'python,javascript']);
  for (const name of ['python', 'javascript'] as const) {
    await host.client.request('driver/install', { reference: cataloguedImage(inject('catalogue'), name) });
  }
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await removeFolder(folder);
});

/** One request after the other, by turns to two drivers; each source is another, so that no answer serves two. */
async function askHonestDrivers(): Promise<{ answered: number; right: number }> {
  let answered = 0;
  let right = 0;
  for (let i = 0; i < requests; i += 1) {
    const [language, content] = i % 2 === 0 ? ['python', `x${i} = ${i}\n`] : ['javascript', `const x${i} = ${i};\n`];
    const { status, uast } = await host.client.request('parse', { language, content });
    answered += 1;
    if (status === 'ok' && JSON.stringify(uast).includes(`x${i}`)) right += 1;
  }
  return { answered, right };
}

describe('a storm of attacks', () => {
  it('costs honest drivers no answer, and ends when it is told to', async () => {
    const image = await buildAttackImage(folder, host.client);
    const ids = await startAttacks(image, host.client);
    expect(await askHonestDrivers()).toEqual({ answered: requests, right: requests });
    // They are still at it.
    const { containers } = await host.client.request('container/list', { status: 'running' });
    expect(containers.map(({ id }) => id)).toEqual(ids);
    await endAttacks(ids, host.client);
    expect((await host.client.request('container/list', {})).containers).toEqual([]);
    expect(await host.stop()).toBe(0);
  });
});
