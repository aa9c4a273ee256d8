// Makes image layouts out of layers in memory, so that a test can say what is in an image, wrong things included.
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { machinePlatform, type Digest, type LayoutReference } from '../../../src/images/index.ts';

export interface Layer {
  readonly archive: Buffer;
  readonly compression?: 'none' | 'gzip' | 'zstd';
  /** The blob, where it shall not be the compressed archive. */
  readonly blob?: Buffer;
  /** Instead of the archive's own. */
  readonly diffId?: string;
  /** Instead of the blob's own length. */
  readonly size?: number;
}

export interface ImageOptions {
  readonly config?: Record<string, unknown>;
  readonly platform?: { os: string; architecture: string; variant?: string };
  readonly name?: string;
  /** Docker's media types instead of OCI's. */
  readonly docker?: boolean;
}

export const digest = (bytes: Buffer | string): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}` as Digest;

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  platform?: object;
  annotations?: Record<string, string>;
}

const compress = {
  none: (bytes: Buffer) => bytes,
  gzip: (bytes: Buffer) => gzipSync(bytes),
  zstd: (bytes: Buffer) => zstdCompressSync(bytes),
};

/** An image layout directory that images are put into one after another. */
export class LayoutFolder {
  readonly path: string;
  readonly descriptors: Descriptor[] = [];

  constructor(folder: string) {
    this.path = folder;
  }

  async blob(bytes: Buffer | string, mediaType: string): Promise<Descriptor> {
    const folder = path.join(this.path, 'blobs/sha256');
    await mkdir(folder, { recursive: true });
    const name = digest(bytes);
    await writeFile(path.join(folder, name.slice(7)), bytes);
    return { mediaType, digest: name, size: Buffer.byteLength(bytes) };
  }

  /** Writes an image's blobs and manifest; it is in the index only once `add` is called with what this returns. */
  async write(layers: readonly Layer[], options: ImageOptions = {}): Promise<Descriptor> {
    const docker = options.docker === true;
    const descriptors: Descriptor[] = [];
    for (const layer of layers) {
      const compression = layer.compression ?? 'none';
      const type = docker
        ? `application/vnd.docker.image.rootfs.diff.tar${compression === 'none' ? '' : `.${compression}`}`
        : `application/vnd.oci.image.layer.v1.tar${compression === 'none' ? '' : `+${compression}`}`;
      const written = await this.blob(layer.blob ?? compress[compression](layer.archive), type);
      descriptors.push({ ...written, ...(layer.size === undefined ? {} : { size: layer.size }) });
    }
    const config = {
      ...(options.platform ?? machinePlatform()),
      config: options.config ?? {},
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId ?? digest(layer.archive)) },
    };
    const configType = docker
      ? 'application/vnd.docker.container.image.v1+json'
      : 'application/vnd.oci.image.config.v1+json';
    const manifestType = docker
      ? 'application/vnd.docker.distribution.manifest.v2+json'
      : 'application/vnd.oci.image.manifest.v1+json';
    const manifest = {
      schemaVersion: 2,
      mediaType: manifestType,
      config: await this.blob(JSON.stringify(config), configType),
      layers: descriptors,
    };
    return await this.blob(JSON.stringify(manifest), manifestType);
  }

  /** Puts descriptors into the index. */
  async add(...descriptors: Descriptor[]): Promise<void> {
    this.descriptors.push(...descriptors);
    await mkdir(this.path, { recursive: true });
    await writeFile(path.join(this.path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(
      path.join(this.path, 'index.json'),
      JSON.stringify({ schemaVersion: 2, manifests: this.descriptors }),
    );
  }
}

/** A layout with one image of these layers, and the reference to it. */
export async function layoutWith(
  folder: string,
  layers: readonly Layer[],
  options: ImageOptions = {},
): Promise<LayoutReference> {
  const layout = new LayoutFolder(folder);
  const descriptor = await layout.write(layers, options);
  const { name } = options;
  await layout.add({
    ...descriptor,
    ...(name === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': name } }),
  });
  return { transport: 'oci', path: folder, ...(name === undefined ? {} : { name }) };
}
