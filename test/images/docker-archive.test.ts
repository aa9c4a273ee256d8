// The archives that `docker save` writes, from files and from a daemon's socket.
import { createReadStream } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { execa } from 'execa';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { parseReference } from '../../src/images/index.ts';
import { file, symlink, tar } from './support/archives.ts';
import { digest, layoutWith } from './support/layouts.ts';
import { leftovers, openStore } from './support/stores.ts';
import { podmanOptions } from '../support/podman.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const layer = tar(file('a', 'one'));
const config = JSON.stringify({
  architecture: 'amd64',
  os: 'linux',
  config: { Cmd: ['/a'] },
  rootfs: { type: 'layers', diff_ids: [digest(layer), digest(layer)] },
});
const platform = { os: 'linux', architecture: 'amd64' };

/** An archive as Docker wrote it until version 24: a folder for each layer, and links for layers that come twice. */
function saved(images: object[], ...more: Parameters<typeof tar>): Buffer {
  return tar(
    file('config.json', config),
    file('one/layer.tar', layer),
    symlink('two/layer.tar', '../one/layer.tar'),
    ...more,
    file('manifest.json', JSON.stringify(images)),
  );
}

const image = (tags: string[] | null) => ({
  Config: 'config.json',
  RepoTags: tags,
  Layers: ['one/layer.tar', 'two/layer.tar'],
});

describe('an archive of docker save', () => {
  it('installs the image that it has, or the one that is named', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const archive = path.join(scratch, 'saved.tar');
    await writeFile(archive, saved([image(['busybox:1', 'example.org/x/y:2']), image(null)]));
    const installed = await store.install(parseReference(`docker-archive:${archive}:busybox:1`), { platform });
    expect(installed).toMatchObject({ names: ['docker.io/library/busybox:1'], config: { command: ['/a'] } });
    await using lease = await store.lease(installed.digest);
    expect(await readFile(path.join(lease.rootfs, 'a'), 'utf8')).toBe('one');
    for (const which of ['example.org/x/y:2', '@1']) {
      const same = await store.install(parseReference(`docker-archive:${archive}:${which}`), { platform });
      expect(same.digest).toBe(installed.digest);
    }
    for (const which of ['', ':other', ':@2']) {
      await expect(
        store.install(parseReference(`docker-archive:${archive}${which}`), { platform }),
      ).rejects.toMatchObject({
        kind: 'imageNotFound',
        data: { names: ['busybox:1', 'example.org/x/y:2'] },
      });
    }
  });

  it.each([
    ['no manifest', tar(file('x')), 'imageNotFound'],
    ['a manifest that is not JSON', tar(file('manifest.json', '{')), 'imageInvalid'],
    ['a manifest of another form', tar(file('manifest.json', '[{"Layers": 1}]')), 'imageInvalid'],
    [
      'more layers than may be, of one file that would be read for each',
      saved([{ ...image(null), Layers: Array<string>(100_000).fill('one/layer.tar') }]),
      'imageInvalid',
    ],
    ['no configuration', tar(file('manifest.json', JSON.stringify([image(null)]))), 'imageNotFound'],
    [
      'fewer layers than its configuration says',
      saved([{ ...image(null), Layers: ['one/layer.tar'] }]),
      'imageInvalid',
    ],
    ['a layer that is missing', saved([{ ...image(null), Layers: ['one/layer.tar', 'three'] }]), 'imageNotFound'],
    [
      'a layer with other bytes',
      saved([{ ...image(null), Layers: ['one/layer.tar', 'x'] }], file('x', Buffer.alloc(layer.length))),
      'digestMismatch',
    ],
  ])('with %s is refused', async (_what, bytes, kind) => {
    const scratch = await temporaryFolder();
    const store = await openStore(scratch);
    const archive = path.join(scratch, 'saved.tar');
    await writeFile(archive, bytes);
    await expect(store.install(parseReference(`docker-archive:${archive}`), { platform })).rejects.toMatchObject({
      kind,
    });
    await store[Symbol.asyncDispose]();
    expect(await leftovers(store.root)).toEqual([]);
  });

  it('is read as skopeo writes it', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    await layoutWith(path.join(scratch, 'layout'), [{ archive: layer, compression: 'gzip' }], { name: 'x' });
    const archive = path.join(scratch, 'saved.tar');
    await execa('skopeo', ['copy', `oci:${path.join(scratch, 'layout')}:x`, `docker-archive:${archive}:x:1`]);
    const installed = await store.install(parseReference(`docker-archive:${archive}:x:1`));
    await using lease = await store.lease(installed.digest);
    expect(await readFile(path.join(lease.rootfs, 'a'), 'utf8')).toBe('one');
  });
});

describe('an image of a Docker daemon', () => {
  it.runIf(process.getuid?.() === 0)("is fetched from podman's service, which speaks the same", async () => {
    const scratch = await temporaryFolder();
    const at = (name: string) => path.join(scratch, name);
    await writeFile(at('saved.tar'), saved([image(['docker.io/x/y:1'])]));
    const podman = podmanOptions(scratch);
    await execa('podman', [...podman, 'load', '--quiet', '--input', at('saved.tar')]);
    const service = execa('podman', [...podman, 'system', 'service', '--time', '0', `unix://${at('podman.sock')}`], {
      reject: false,
    });
    onTestFinished(async () => {
      service.kill();
      await service;
      vi.unstubAllEnvs();
    });
    await vi.waitFor(async () => {
      expect((await stat(at('podman.sock'))).isSocket()).toBe(true);
    }, 10_000);
    vi.stubEnv('DOCKER_HOST', `unix://${at('podman.sock')}`);
    await using store = await openStore(scratch);
    const installed = await store.install(parseReference('docker-daemon:x/y:1'));
    expect(installed.names).toEqual(['docker.io/x/y:1']);
    await using lease = await store.lease(installed.digest);
    expect(await readFile(path.join(lease.rootfs, 'a'), 'utf8')).toBe('one');
    await expect(store.install(parseReference('docker-daemon:nothing'))).rejects.toMatchObject({
      kind: 'imageNotFound',
      message: expect.stringContaining('has no image') as unknown,
    });
  });

  it('is fetched over its socket', async () => {
    const scratch = await temporaryFolder();
    await using store = await openStore(scratch);
    const archive = path.join(scratch, 'saved.tar');
    await writeFile(archive, saved([image(['x/y:1'])]));
    const asked: (string | undefined)[] = [];
    const server = createServer((incoming, outgoing) => {
      asked.push(incoming.url);
      if (incoming.url?.includes('nothing') === true) outgoing.writeHead(404).end('{"message": "no such image"}');
      else createReadStream(archive).pipe(outgoing);
    });
    const socket = path.join(scratch, 'docker.sock');
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    onTestFinished(() => {
      server.close();
      vi.unstubAllEnvs();
    });
    vi.stubEnv('DOCKER_HOST', `unix://${socket}`);
    const installed = await store.install(parseReference('docker-daemon:x/y:1'), { platform });
    expect(installed.names).toEqual(['docker.io/x/y:1']);
    expect(asked).toEqual(['/images/get?names=x%2Fy%3A1']);
    await expect(store.install(parseReference('docker-daemon:nothing'))).rejects.toMatchObject({
      kind: 'imageNotFound',
    });
    vi.stubEnv('DOCKER_HOST', `unix://${scratch}/none.sock`);
    await expect(store.install(parseReference('docker-daemon:x'))).rejects.toMatchObject({
      kind: 'imageNotFound',
      data: { reason: 'unreachable' },
    });
  });
});
