// How a connection's messages travel: as frames on byte streams, or as objects on streams in object mode.
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { FrameReader, type FrameReaderOptions } from '../framing/frame-reader.ts';
import { FrameWriter } from '../framing/frame-writer.ts';
import { ObjectReader, ObjectWriter } from '../framing/object-messages.ts';

export interface Transport {
  readonly reader: FrameReader | ObjectReader;
  readonly writer: FrameWriter | ObjectWriter;
}

export function openTransport(
  input: Readable,
  output: Writable,
  options: FrameReaderOptions & { onEnd: () => void },
): Transport {
  if (input.readableObjectMode) {
    return { reader: new ObjectReader(input, options.onEnd), writer: new ObjectWriter(output) };
  }
  const reader = new FrameReader(input, { ...options, ownsChunks: input instanceof Socket });
  // A client is answered in the framing that it speaks.
  return { reader, writer: new FrameWriter(output, () => reader.framing) };
}
