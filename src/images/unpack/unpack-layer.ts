// Unpacks one layer: decompresses its blob, verifies the archive's own digest, and passes the entries to a sink.
import { createHash } from 'node:crypto';
import { BabelhostError, messageOf, systemErrorCode } from '../../base/errors.ts';
import { digestMismatch, finish, type Digest } from '../digest.ts';
import { invalid, type Compression } from '../documents.ts';
import { overLimit, type ImageLimits } from '../limits.ts';
import { ArchiveError, type TarSink } from '../tar/entry.ts';
import { TarReader } from '../tar/reader.ts';
import { decompress } from './decompress.ts';
import { ReadAhead } from './read-ahead.ts';
import { TimeSlice } from './time-slice.ts';

/** Bytes at a time: enough that calls do not count, and few enough not to hold up others. */
const chunkSize = 256 * 1024;

export interface LayerBlob {
  /** The blob's bytes, which may be still arriving. Each chunk is valid until the next is asked for. */
  readonly chunks: AsyncIterable<Buffer>;
  readonly compression: Compression;
  /** The blob's size in bytes. */
  readonly size: number;
  /** The digest of the archive in it. */
  readonly diffId: Digest;
  /** Begins sentences about it: 'Layer 2 of …'. */
  readonly what: string;
}

/** A layer that is being decompressed. Disposing closes its blob. */
export interface OpenLayer extends Disposable {
  readonly blob: LayerBlob;
  readonly archive: AsyncIterable<Buffer>;
}

/**
 * Begins to decompress a layer, a bounded part of it ahead of the reader.
 * @param onBytes - called with the number of the blob's bytes that are read.
 */
export function openLayer(blob: LayerBlob, limits: ImageLimits, onBytes?: (done: number) => void): OpenLayer {
  const counted = (async function* () {
    let read = 0;
    for await (const chunk of blob.chunks) {
      read += chunk.length;
      yield chunk;
      onBytes?.(read);
    }
  })();
  const { compression } = blob;
  // Uncompressed, there is nothing to do ahead, and all chunks lie in the same memory.
  const archive = compression === 'none' ? counted : new ReadAhead(decompress(counted, compression, chunkSize, limits));
  return {
    blob,
    archive,
    [Symbol.dispose]: () => {
      if (archive instanceof ReadAhead) archive[Symbol.dispose]();
      // Closes the blob's file. Not awaited, as that may need more of the blob to come.
      counted.return(undefined).catch(() => undefined);
    },
  };
}

export interface UnpackLayerOptions {
  readonly limits: ImageLimits;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Unpacks a layer into `sink`.
 * @throws BabelhostError `imageInvalid` if it is no archive or over a limit, `digestMismatch` if the archive is not the one
 * that the configuration names.
 */
export async function unpackLayer(
  { blob: layer, archive }: OpenLayer,
  sink: TarSink,
  { limits, signal }: UnpackLayerOptions,
): Promise<void> {
  const reader = new TarReader(sink, limits);
  const hash = createHash('sha256');
  const turn = new TimeSlice();
  let unpacked = 0;
  const most = Math.max(limits.ratioFreeBytes, layer.size * limits.ratio);
  try {
    // Not a stream's pipeline, which would reject while the rest of a chunk still goes to the sink.
    for await (const chunk of archive) {
      signal?.throwIfAborted();
      unpacked += chunk.length;
      if (layer.compression !== 'none' && unpacked > most) {
        throw overLimit('ratio', limits.ratio, `${layer.what}: its archive, for each byte of the layer,`, {
          compressed: layer.size,
        });
      }
      // Bytes that unpack to nothing, such as headers, take time all the same.
      if (unpacked > limits.unpackedBytes * 2)
        throw overLimit('unpackedBytes', limits.unpackedBytes, `${layer.what}: its archive`);
      hash.update(chunk);
      for (let at = 0; at < chunk.length;) {
        at += reader.write(chunk.subarray(at), () => turn.isOver());
        await turn.pass();
        signal?.throwIfAborted();
      }
    }
    reader.finish();
  } catch (error) {
    throw layerError(error, layer, signal);
  }
  const actual = finish(hash);
  if (actual !== layer.diffId) throw digestMismatch(`${layer.what}, unpacked,`, layer.diffId, actual);
}

function layerError(error: unknown, layer: LayerBlob, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted === true) return signal.reason;
  if (error instanceof ArchiveError) {
    const place = error.offset === undefined ? '' : ` (at byte ${error.offset} of the archive)`;
    return new BabelhostError(
      'imageInvalid',
      `${layer.what} is not valid: ${error.message}${place}.`,
      { layer: layer.diffId, reason: error.message, ...(error.offset === undefined ? {} : { offset: error.offset }) },
      { cause: error },
    );
  }
  if (error instanceof BabelhostError) {
    return new BabelhostError(error.kind, error.message, { ...error.data, layer: layer.diffId }, { cause: error });
  }
  const code = systemErrorCode(error);
  if (code !== undefined && /^(?:Z_|ZSTD_|ERR_ZLIB)/.test(code)) {
    return invalid(layer.what, `its ${layer.compression} compression is damaged (${messageOf(error)})`, error);
  }
  return error;
}
