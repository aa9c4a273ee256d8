// A source from stdin, bounded.
import { isUtf8 } from 'node:buffer';
import type { Readable } from 'node:stream';
import { BabelhostError } from '../base/errors.ts';

/** As the host's own default is; a larger one must be allowed by name. */
const defaultLimit = 32 * 1024 * 1024;

/**
 * Reads all of a stream.
 * @throws BabelhostError `contentTooLarge`, `invalidEncoding`
 */
export async function readSource(
  input: Readable,
  encoding: 'utf8' | 'base64',
  limitBytes: number = defaultLimit,
  signal: AbortSignal,
): Promise<{ content: string; encoding: 'utf8' | 'base64' }> {
  const chunks: Buffer[] = [];
  let length = 0;
  const stop = (): void => {
    input.destroy();
  };
  signal.addEventListener('abort', stop);
  try {
    for await (const chunk of input as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > limitBytes) {
        throw new BabelhostError(
          'contentTooLarge',
          `The source on stdin has more bytes than the limit of ${limitBytes}; raise it (--max-content-bytes) or split the source.`,
          { limitBytes },
        );
      }
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
  const bytes = Buffer.concat(chunks, length);
  if (encoding === 'utf8' && !isUtf8(bytes)) {
    throw new BabelhostError(
      'invalidEncoding',
      'The source on stdin is not UTF-8; convert it, or hand its bytes to the driver as they are (--encoding base64).',
      { encoding },
    );
  }
  return { content: bytes.toString(encoding), encoding };
}
