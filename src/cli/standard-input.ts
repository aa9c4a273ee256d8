// What commands read from stdin, bounded: a source, or a password.
import { isUtf8 } from 'node:buffer';
import { BabelhostError } from '../base/errors.ts';

/** As the host's own default is; a larger one must be allowed by name. */
const defaultLimit = 32 * 1024 * 1024;

/** @param tooLong makes the error for more than `limitBytes` */
export async function readStandardInput(
  limitBytes: number,
  tooLong: () => Error,
  signal: AbortSignal,
): Promise<Buffer> {
  const { stdin } = process;
  const chunks: Buffer[] = [];
  let length = 0;
  const stop = (): void => {
    stdin.destroy();
  };
  signal.addEventListener('abort', stop);
  try {
    for await (const chunk of stdin as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > limitBytes) throw tooLong();
    }
  } finally {
    signal.removeEventListener('abort', stop);
  }
  signal.throwIfAborted();
  return Buffer.concat(chunks, length);
}

/** @throws BabelhostError `contentTooLarge`, `invalidEncoding` */
export async function readSource(
  encoding: 'utf8' | 'base64',
  limitBytes: number = defaultLimit,
  signal: AbortSignal,
): Promise<{ content: string; encoding: 'utf8' | 'base64' }> {
  const tooLong = (): Error =>
    new BabelhostError(
      'contentTooLarge',
      `The source on stdin has more bytes than the limit of ${limitBytes}; raise it (--max-content-bytes) or split the source.`,
      { limitBytes },
    );
  const bytes = await readStandardInput(limitBytes, tooLong, signal);
  if (encoding === 'utf8' && !isUtf8(bytes)) {
    throw new BabelhostError(
      'invalidEncoding',
      'The source on stdin is not UTF-8; convert it, or hand its bytes to the driver (--encoding base64), if that decodes them itself.',
      { encoding },
    );
  }
  return { content: bytes.toString(encoding), encoding };
}
