// Pushing images: to real registries, through a front that breaks off, and to layouts.
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { execa } from 'execa';
import { RegistryClientV2 } from 'oci-registry-client';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  parseReference,
  type ImageStore,
  type Progress,
  type RegistrySettings,
  type StoredImage,
} from '../../src/images/index.ts';
import { file, tar } from './support/archives.ts';
import { digest, layoutWith } from './support/layouts.ts';
import { naming, startFront, startRegistry, startTokenService, user } from './support/registries.ts';
import { openStore } from './support/stores.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let scratch: string;
let store: ImageStore;
let image: StoredImage;
// Three chunks.
const archive = tar(file('random', randomBytes(20 * 1024 ** 2)));

const registries: Partial<RegistrySettings> = {
  configurationFiles: [],
  certificateFolders: [],
  authenticationFiles: [],
  backOffMs: 1,
  retries: 3,
};

beforeEach(async () => {
  scratch = await temporaryFolder();
  store = await openStore(scratch, { registries });
  image = await store.install(
    await layoutWith(path.join(scratch, 'layout'), [{ archive, compression: 'none' }], { name: 'x' }),
  );
  return () => store[Symbol.asyncDispose]();
});

async function inspect(reference: string, ...args: string[]): Promise<{ Digest: string }> {
  const { stdout } = await execa('skopeo', ['inspect', '--tls-verify=false', ...args, reference]);
  return JSON.parse(stdout) as { Digest: string };
}

describe('pushing an image', () => {
  it('to a registry gives the same image there, and sends nothing twice', async () => {
    const host = await startRegistry(path.join(scratch, 'registry'));
    const requests: string[] = [];
    const front = await startFront(host, (incoming) => {
      requests.push(`${incoming.method ?? ''} ${(incoming.url ?? '').replace(/\?.*|sha256:\w+/g, '')}`);
      return false;
    });
    const progress: Progress[] = [];
    await store.push('x', parseReference(`${front}/n/x:v1`), { onProgress: (step) => progress.push(step) });
    expect((await inspect(`docker://${host}/n/x:v1`)).Digest).toBe(image.digest);
    const layer = image.layers[0];
    expect(progress.findLast((step) => step.layer === layer?.digest)).toEqual({
      phase: 'push',
      layer: layer?.digest,
      done: layer?.size,
      total: layer?.size,
    });
    expect(requests.filter((line) => line.startsWith('PATCH')).length).toBe(4);

    requests.length = 0;
    await store.push(image.digest, parseReference(`${front}/n/x:v2`));
    expect(requests.some((line) => /^(?:PATCH|POST)/.test(line))).toBe(false);

    // Another repository of the same registry has it, by the name that it was installed under.
    await store.install(parseReference(`${front}/n/x:v1`));
    requests.length = 0;
    await store.push(image.digest, parseReference(`${front}/other/y:1`));
    expect(requests.filter((line) => line.startsWith('POST')).length).toBe(2);
    expect(requests.some((line) => line.startsWith('PATCH'))).toBe(false);
    expect((await inspect(`docker://${host}/other/y:1`)).Digest).toBe(image.digest);
  });

  it('to a registry gives an independent client every byte of it', async () => {
    const host = await startRegistry(path.join(scratch, 'registry'));
    await store.push('x', parseReference(`${host}/team/driver:v1`));
    const client = new RegistryClientV2({ name: `${host}/team/driver`, scheme: 'http', acceptOCIManifests: true });
    expect((await client.listTags()).tags).toEqual(['v1']);
    const { resp, manifest } = await client.getManifest({ ref: 'v1' });
    expect(digest(Buffer.from(await resp.dockerBody()))).toBe(image.digest);
    if (!('layers' in manifest)) throw new Error(`it has the media type ${manifest.mediaType ?? ''}`);
    const blob = async (descriptor: { digest: string; size: number }) => {
      const bytes = await buffer((await client.createBlobReadStream({ digest: descriptor.digest })).stream);
      expect([digest(bytes), bytes.length]).toEqual([descriptor.digest, descriptor.size]);
      return bytes;
    };
    expect(manifest.layers.map((layer) => layer.digest)).toEqual(image.layers.map((layer) => layer.digest));
    for (const layer of manifest.layers) expect((await blob(layer)).equals(archive)).toBe(true);
    const config = JSON.parse((await blob(manifest.config)).toString()) as unknown;
    expect(config).toMatchObject({ rootfs: { type: 'layers', diff_ids: [digest(archive)] } });
  });

  it('with token authentication asks for pushing', async () => {
    const tokens = await startTokenService(path.join(scratch, 'tokens'));
    const host = await startRegistry(path.join(scratch, 'registry'), { token: tokens });
    const configurationFiles = [await naming(scratch, [tokens.host])];
    await using informed = await openStore(scratch, { registries: { ...registries, configurationFiles } });
    await expect(informed.push('x', parseReference(`${host}/n/x:t`))).rejects.toMatchObject({
      kind: 'imageUnauthorized',
    });
    await informed.push('x', parseReference(`${host}/n/x:t`), { credentials: user });
    expect(tokens.asked.at(-1)?.scopes).toEqual(['repository:n/x:pull,push']);
    expect((await inspect(`docker://${host}/n/x:t`, '--creds', `${user.username}:${user.password}`)).Digest).toBe(
      image.digest,
    );
  });

  it('goes on where a connection broke off', async () => {
    const host = await startRegistry(path.join(scratch, 'registry'));
    let breaks = 3;
    const front = await startFront(host, (incoming) => {
      if (incoming.method !== 'PATCH' || Number(incoming.headers['content-length']) < 100_000 || breaks === 0)
        return false;
      breaks -= 1;
      let received = 0;
      incoming.on('data', (piece: Buffer) => {
        received += piece.length;
        if (received > 1_000_000) incoming.socket.destroy();
      });
      return breaks % 2 === 0;
    });
    await store.push('x', parseReference(`${front}/n/x:t`));
    expect(breaks).toBe(0);
    expect((await inspect(`docker://${host}/n/x:t`)).Digest).toBe(image.digest);
  });

  it('to a layout or an archive of one keeps what else is there', async () => {
    const layout = path.join(scratch, 'out');
    await store.push('x', parseReference(`oci:${layout}:one`));
    await store.push('x', parseReference(`oci:${layout}:two`));
    await store.push('x', parseReference(`oci:${layout}:two`));
    const archived = path.join(scratch, 'out.tar');
    await store.push('x', parseReference(`oci-archive:${archived}:three`));
    for (const reference of [`oci:${layout}:one`, `oci:${layout}:two`, `oci-archive:${archived}:three`]) {
      expect((await inspect(reference)).Digest).toBe(image.digest);
    }
  });

  it('to what cannot be written to is refused', async () => {
    await expect(store.push('x', parseReference('docker-daemon:x'))).rejects.toMatchObject({ kind: 'imageInvalid' });
    await expect(store.push('none', parseReference('oci:x'))).rejects.toMatchObject({ kind: 'imageNotFound' });
  });
});
